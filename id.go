package coffer

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// The identifiers. Each is a type of its own, so that a swapped argument does
// not compile. All but ProjectID and Runner are lower-case UUIDs (RFC 9562).
type (
	ProjectID      string // a Keystone project, 32 hex digits, or any name of [A-Za-z0-9_-]{1,64}
	InstanceID     string
	BackupID       string
	JobID          string
	AgentID        string
	InstallationID string
	KeyID          string
)

// Runner names one life of one agent or task manager: "<agent id>/<boot nonce>".
// A job has at most one, for ever.
type Runner string

// NewRunner joins an agent and a boot nonce.
func NewRunner(a AgentID, boot string) Runner { return Runner(string(a) + "/" + boot) }

// Agent is the part of r that outlives a restart.
func (r Runner) Agent() AgentID {
	a, _, _ := strings.Cut(string(r), "/")
	return AgentID(a)
}

// Boot is the nonce of the runner's process life.
func (r Runner) Boot() string {
	_, b, _ := strings.Cut(string(r), "/")
	return b
}

// NewUUID makes a random (version 4) UUID.
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// NewNonce makes 16 random bytes in hex.
func NewNonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// IsUUID reports whether s has the form 8-4-4-4-12 of hex digits, either case.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if !isHex(c) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Valid reports whether p can be a path component everywhere: 1 to 64 of
// [A-Za-z0-9_-].
func (p ProjectID) Valid() bool {
	if len(p) == 0 || len(p) > 64 {
		return false
	}
	for i := range len(p) {
		c := p[i]
		if !(isHex(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
