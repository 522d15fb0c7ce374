package api

import (
	"encoding/json"
	"testing"
)

func TestPyJSON(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		`{"a": [1, 2], "b": "x:y,z"}`:  map[string]any{"a": []int{1, 2}, "b": "x:y,z"},
		`"\"q\\, :\""`:                 `"q\, :"`,
		`"<&> caf\u00e9 \ud83d\ude00"`: "<&> café 😀",
		`{"links": null, "n": 1.5}`:    map[string]any{"links": nil, "n": 1.5},
	} {
		got, err := pyJSON(v)
		if err != nil || string(got) != want {
			t.Errorf("%#v: %s, want %s (%v)", v, got, want, err)
		}
		if !json.Valid(got) {
			t.Errorf("%s is not JSON", got)
		}
	}
}

func TestPyRepr(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`null`: "None", `true`: "True", `5`: "5", `-0`: "0", `1.50`: "1.5", `1e2`: "100.0", `1e16`: "1e+16", `0.00001`: "1e-05",
		`"it's"`: `"it's"`, `"a\"b'"`: `'a"b\''`, `"a\nb\u0001é"`: `'a\nb\x01é'`,
		`[1, "x", {"k": false}]`: "[1, 'x', {'k': False}]", `{}`: "{}", `123456789012345678901234567890`: "123456789012345678901234567890",
	} {
		v, err := decode([]byte(in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := pyRepr(v); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// The words of the rules that no recorded answer shows.
func TestValidationWords(t *testing.T) {
	t.Parallel()
	s := newSchemas()
	for body, want := range map[string]string{
		`{"backup":[]}`: "backup [] is not of type 'object'",
		`{"backup":{"name":"n","incremental":-1}}`:                 "backup['incremental'] -1 is less than the minimum of 0",
		`{"backup":{"name":"n","incremental":1.0}}`:                "backup['incremental'] 1.0 is not of type 'integer'",
		`{"backup":{"name":"n","restore_from":{}}}`:                "backup['restore_from'] 'remote_location' is a required property; backup['restore_from'] 'local_datastore_version_id' is a required property; backup['restore_from'] 'size' is a required property",
		`{"backup_strategy":{"swift_container":"c1","x":1,"y":2}}`: "backup_strategy Additional properties are not allowed ('x', 'y' were unexpected)",
		`{"instance":{"name":"n","flavorRef":""}}`:                 "instance['flavorRef'] '' is not valid under any of the given schemas; '' is too short; '' does not match '^.*[0-9a-zA-Z]+.*$'; '' is not of type 'integer'",
		`{"instance":{"name":"n","nics":[{},{}]}}`:                 "instance['nics'] [{}, {}] is too long",
		`{"instance":{"name":"n","nics":[{"bad":1}]}}`:             "instance['nics'][0] Additional properties are not allowed ('bad' was unexpected)",
		`{"instance":{"name":"n","volume":{"size":0}}}`:            "instance['volume']['size'] 0 is not valid under any of the given schemas; 0 is less than the minimum of 1; 0 is not of type 'string'",
		`{"backup":{"name":"a\nb"}}`:                               `backup['name'] 'a\nb' does not match '^.*[0-9a-zA-Z]+.*$'`,
	} {
		v, err := decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		of := s.backup
		switch v.(*object).keys[0] {
		case "backup_strategy":
			of = s.strategy
		case "instance":
			of = s.instance
		}
		err = of.validate(v)
		if err == nil || err.Error() != "Validation error: "+want {
			t.Errorf("%s:\n got %v\nwant Validation error: %s", body, err, want)
		}
	}
}
