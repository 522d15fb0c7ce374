package amqp

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A message that is stamped with nothing has the context that any has.
func TestContextOfNobody(t *testing.T) {
	t.Parallel()
	stamped, err := contextOf(map[string]any{"request_id": "r"})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := contextOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(bare["request_id"]), `"req-`) {
		t.Errorf("the request is %s", bare["request_id"])
	}
	bare["request_id"] = stamped["request_id"]
	if d := cmp.Diff(stamped, bare); d != "" {
		t.Error(d)
	}
}

// Whatever is in a request, it is read as it was written.
func TestRequestThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string {
			return rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,20}`)).Draw(t, name)
		}
		want := request{
			Method: "m" + text("method"), Version: "1" + text("version"), UniqueID: text("id"), Args: mustJSON(map[string]string{text("key"): text("value")}),
			Context: map[string]json.RawMessage{text("name"): mustJSON(text("said"))},
		}
		if rapid.Bool().Draw(t, "call") {
			seconds := rapid.Float64Range(0, 1e6).Draw(t, "timeout")
			want.MsgID, want.ReplyQ, want.Timeout = "m"+text("msg"), text("queue"), &seconds
		}
		body, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(body)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Fatal(d)
		}
	})
}
