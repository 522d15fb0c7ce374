// Package archive keeps one long stream, a backup, as named objects in a store:
// an intent first, then the data in parts, an index, and a manifest last. The
// manifest is the commit record: a backup without one does not exist, and one
// with a tombstone beside it no longer does. docs/formats/archive-v1.md is the
// format in full; this package is its only writer.
//
//	w, err := archive.Create(...)       the intent is written, names its owner
//	io.Copy(w, tool)                    plain bytes → frames → (age) → parts → store
//	sealed, err := w.Finish(ctx, m)     every part answered for, the index stored
//	outcome, err := w.Commit(ctx)       done, not done or unknown
//
// Nothing here undoes a commit by itself. [Writer.Abort] is a call of its own: it
// makes the writer refuse bytes, closes the encoders into the void, sees for
// itself that there is no manifest, and only then deletes.
//
// Reading is [Open], which compares the manifest's sum with the one that the
// caller trusts, then [Archive.Stream] for everything or [Archive.Range] for a
// piece. No byte is decoded before its part's sum was checked, and io.EOF is only
// given when the end was proven.
//
// Death is ordered as well: [Tombstone] first, then the manifest, its absence
// seen, then the rest ([Delete]); [Wipe] clears what a failed attempt left;
// [Survey] tells what lies in a place and whose it is. Every step can be repeated.
package archive
