package enrol

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/rest"
)

// The files of an agent that has joined, in its state folder, all 0600. Config is
// what coffer agent reads; it names the others.
const (
	Config   = "agent.toml"
	caFile   = "ca.crt"
	verFile  = "verify.keys"
	passFile = "bus.password"
	keyFile  = "agent/key"
	idFile   = "agent/id"
)

// agentKey is the key of the folder's agent, made when there is none. A folder whose
// agent has an id without a key worked for a server of its own machine: it keeps it.
func agentKey(dir string) (string, error) {
	const op = "make the agent's key"
	if err := os.MkdirAll(filepath.Join(dir, "agent"), 0o700); err != nil {
		return "", coffer.E(coffer.KindForbidden, op, "%w", err).WithHint("name a folder that you may write with --state")
	}
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, idFile)); err == nil {
		return "", coffer.E(coffer.KindConflict, op, "%s is the state of an agent that has not joined this way", dir).
			WithHint("name another folder with --state")
	}
	key := NewAgentKey()
	id, err := AgentID(key)
	if err != nil {
		return "", err
	}
	if err := put(path, key+"\n"); err != nil { // first: an id without it would be lost
		return "", coffer.Wrap(op, err)
	}
	return key, coffer.Wrap(op, put(filepath.Join(dir, idFile), string(id)+"\n"))
}

// agentConfig is the part of package config's file that joining fills in.
type agentConfig struct {
	Agent  agentSection                 `toml:"agent"`
	Bus    busSection                   `toml:"bus"`
	Keys   keysSection                  `toml:"keys"`
	Stores map[string]map[string]string `toml:"stores,omitempty"`
}

type agentSection struct {
	State string `toml:"state"`
	Host  bool   `toml:"host"`
}

type busSection struct {
	Kind         string   `toml:"kind"`
	Hosts        []string `toml:"hosts"`
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	VHost        string   `toml:"vhost"`
	Exchange     string   `toml:"exchange"`
	TLS          bool     `toml:"tls"`
	CAFile       string   `toml:"ca_file,omitempty"`
}

type keysSection struct {
	VerifyKeyFile string `toml:"verify_key_file"`
}

// Write lays what an agent was given into its state folder, the configuration last.
func Write(dir string, j rest.Joined) error {
	const op = "write what the agent was given"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	c := agentConfig{
		Agent: agentSection{State: dir, Host: j.Host},
		Bus: busSection{
			Kind: "amqp", Hosts: j.Brokers, User: j.Account, PasswordFile: in(passFile), VHost: j.VHost, Exchange: j.Exchange, TLS: j.TLS,
		},
		Keys: keysSection{VerifyKeyFile: in(verFile)}, Stores: j.Stores,
	}
	files := []struct{ name, text string }{
		{passFile, j.Password + "\n"}, {verFile, strings.Join(j.VerifyKeys, "\n") + "\n"},
	}
	if j.CA != "" && j.TLS {
		c.Bus.CAFile = in(caFile)
	}
	if j.CA != "" {
		files = append(files, struct{ name, text string }{caFile, j.CA})
	}
	var text bytes.Buffer
	text.WriteString("# Written by coffer agent join; another join writes it anew.\n")
	if err := toml.NewEncoder(&text).Encode(c); err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	for _, f := range append(files, struct{ name, text string }{Config, text.String()}) {
		if err := put(in(f.name), f.text); err != nil {
			return coffer.Wrap(op, err)
		}
	}
	return nil
}

// put replaces a file, mode 0600, all or nothing.
func put(path, text string) error {
	op := "write " + filepath.Base(path)
	f, err := os.CreateTemp(filepath.Dir(path), ".join-*") // mode 0600
	if err != nil {
		return coffer.E(coffer.KindForbidden, op, "%w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return coffer.E(coffer.KindInternal, op, "%w", err)
	}
	return nil
}
