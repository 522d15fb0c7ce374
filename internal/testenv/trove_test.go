package testenv_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// A real Trove lists an instance that was put into its tables, and lets it be
// backed up: the row is there, and waits for a guest.
func TestHeavyTrove(t *testing.T) {
	if os.Getenv("COFFER_HEAVY") == "" {
		t.Skip("COFFER_HEAVY is not set: starts seven servers")
	}
	s := testenv.Trove(t, testenv.TroveOptions{Secure: true})
	id := s.AddInstance(t, "farm-a", true)
	token, err := s.Keystone.Token("alice", "alicepass", "farm-a")
	if err != nil {
		t.Fatal(err)
	}
	base := s.URL + "/v1.0/" + s.Keystone.Projects["farm-a"]
	call := func(method, path, body string) (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		req.Header.Set("X-Auth-Token", token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	status, text := call(http.MethodGet, "/instances/"+id, "")
	var out struct{ Instance struct{ Status string } }
	if json.Unmarshal([]byte(text), &out); status != http.StatusOK || out.Instance.Status != "ACTIVE" {
		t.Errorf("the instance: %d %s\nasked %q\n%s", status, text, s.Asked(), s.Log("trove-api"))
	}
	if status, text = call(http.MethodPost, "/backups", `{"backup":{"name":"b","instance":"`+id+`"}}`); status != http.StatusAccepted {
		t.Errorf("a backup: %d %s\nasked %q\n%s", status, text, s.Asked(), s.Log("trove-api"))
	}
}
