package swift

import "testing"

// TestOwner: from a listing's line alone, every segment and marker leads back to
// its upload and its object.
func TestOwner(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"b", "b.zst", "p/c/b.v02.xbstream.zst", "p.x/b", "p/.hidden", ".hidden", "p/b_0", "p/b.a;b=c%d ü.z"} {
		for _, how := range []string{plainly, qualified} {
			u := newToken(how)
			for kind, at := range map[string]string{uploadType: u.marker(key), segmentType: u.segment(key, 17)} {
				got, name, ok := entry{Key: at, Type: u.typeOf(kind, key)}.owner(kind)
				if got != u || name != key || !ok {
					t.Errorf("%s of %q is told to be of %q, %v", at, key, name, ok)
				}
			}
		}
	}
	for _, c := range []string{"", "application/octet-stream", segmentType, segmentType + "x", uploadType + string(newToken(plainly))} {
		if _, _, ok := (entry{Key: "b_00000000", Type: c}).owner(segmentType); ok {
			t.Errorf("%q passes for a segment", c)
		}
	}
	if _, _, ok := (entry{Key: "b", Type: segmentType + string(newToken(plainly))}).owner(segmentType); ok {
		t.Error("a key that is too short passes for a segment")
	}
}
