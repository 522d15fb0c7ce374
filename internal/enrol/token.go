package enrol

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/cofferdb/coffer"
)

const tokenPrefix = "coffer-join-1."

// Token is what an operator carries to the agent's machine: where the API is, the
// SHA-256 of the CA that vouches for it, and a secret that works once.
type Token struct {
	URL    string `json:"url"`
	CA     string `json:"ca,omitempty"` // "" is the system's own authorities
	Secret string `json:"secret"`
}

// String is one word that survives a shell.
func (t Token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("enrol: a struct of strings is no JSON: " + err.Error())
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads a token.
func ParseToken(s string) (Token, error) {
	var t Token
	enc, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	b, err := base64.RawURLEncoding.DecodeString(enc)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if !ok || err != nil || t.URL == "" || t.Secret == "" {
		return Token{}, coffer.E(coffer.KindInvalid, "read the join token", "it is none, or not all of it").
			WithHint("coffer instance register --join prints one; copy the whole word that begins with %s", tokenPrefix)
	}
	return t, nil
}
