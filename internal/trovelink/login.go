package trovelink

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/cofferdb/coffer"
)

// Keystone logs in for the guests of a project, as one user that has a role in each
// project whose instances Trove's guests look after.
type Keystone struct {
	URL          string // with /v3
	User         string // its name
	Domain       string // of the user, its name; "" is "Default"
	PasswordFile string // read at each login
	Region       string // of the object store; "" is the only one
	HTTP         *http.Client
}

// Login is a token for that project alone, and where its objects go. It is for
// Control.Login.
func (k Keystone) Login(ctx context.Context, project coffer.ProjectID) (Login, error) {
	const op = "log in for a guest"
	password, err := os.ReadFile(k.PasswordFile)
	if err != nil {
		return Login{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	domain := k.Domain
	if domain == "" {
		domain = "Default"
	}
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": k.User, "domain": map[string]any{"name": domain}, "password": strings.TrimRight(string(password), "\r\n"),
		}}},
		"scope": map[string]any{"project": map[string]any{"id": string(project)}},
	}})
	if err != nil {
		return Login{}, coffer.E(coffer.KindInternal, op, "%w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL+"/auth/tokens", bytes.NewReader(body))
	if err != nil {
		return Login{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := k.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return Login{}, coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20)) // of a catalogue, no more
	if err != nil {
		return Login{}, coffer.E(coffer.KindUnavailable, op, "%w", err)
	}
	if err := refusal(op, resp.StatusCode, ""); err != nil {
		return Login{}, coffer.Wrap(op, err)
	}
	return k.read(resp.Header.Get("X-Subject-Token"), text)
}

// read takes Keystone's answer apart.
func (k Keystone) read(token string, text []byte) (Login, error) {
	const op = "read Keystone's answer"
	var out struct {
		Token struct {
			User struct {
				ID string `json:"id"`
			} `json:"user"`
			Catalog []struct {
				Type      string `json:"type"`
				Endpoints []struct {
					Interface string `json:"interface"`
					Region    string `json:"region"`
					URL       string `json:"url"`
				} `json:"endpoints"`
			} `json:"catalog"`
		} `json:"token"`
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return Login{}, coffer.E(coffer.KindInvalid, op, "%w", err)
	}
	for _, s := range out.Token.Catalog {
		for _, e := range s.Endpoints {
			if s.Type == "object-store" && e.Interface == "public" && (k.Region == "" || k.Region == e.Region) {
				return Login{Token: token, User: out.Token.User.ID, Account: strings.TrimSuffix(e.URL, "/"), Region: e.Region}, nil
			}
		}
	}
	return Login{}, coffer.E(coffer.KindNotFound, op, "its catalogue has no object-store in region %q", k.Region)
}
