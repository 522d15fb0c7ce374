// Package codec holds the reversible steps between a database tool's stream and
// the bytes that a store keeps: compression in frames, and age encryption.
//
// Compression cuts the plain stream into frames of [FrameSize] bytes. Each is an
// independent zstd frame with its content checksum, or a gzip member; one after
// another they are an ordinary .zst or .gz file, so that `zstd -dc` and
// `gzip -dc` read them. Independence is what lets several cores work on one
// stream in both directions, and a restore read a range without what lies before.
//
//	tool ─▶ Writer ─▶ frame ─▶ worker ─┐
//	               ─▶ frame ─▶ worker ─┴▶ in order ─▶ (Encrypt) ─▶ parts
//
// Memory is bounded: a [Writer] or reader holds at most two frames a worker and
// two more, whatever the length of the stream, and pushes back on its source
// when its sink is slow.
//
// A cut at a frame's edge leaves a valid shorter file that no tool complains of.
// A reader therefore compares the plain length with the archive's own figures;
// age's encryption notices such a cut by itself.
//
// Encryption is one age file (X25519) around all frames. Its recipient is a
// [DataKey], whose private half is itself wrapped as an age file for the
// operator's recipients ([Wrap]): `age -d` twice opens an archive without us.
//
// On failure a stack of writers is taken down from below: first the sink refuses
// writes, then [Writer.Fail], then the Closes. A Close without that would end a
// cut stream as if it were whole.
package codec
