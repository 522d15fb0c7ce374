// Package xbstream reads and writes xbstream, the archive format in which
// mariadb-backup and xtrabackup stream a backup, without any tool of theirs.
//
// A stream is a sequence of chunks and nothing else: no header, no directory, no
// trailer. Every chunk begins with the magic XBSTCK01, a byte of flags, a byte of
// type and a path (a 32-bit little-endian length and the bytes). What follows
// depends on the type:
//
//	P  data     length (8), offset (8), CRC-32 IEEE of the data (4), the data
//	E  end      nothing: the file is complete; an empty file has only this
//	R  rename   a second path: a file sent before takes that name
//	D  remove   nothing: a file sent before is gone, or a folder with all in it
//	S  seek     offset (8): the file's next data begins there
//
// Chunks of different files interleave; those of one file come in order. A path
// whose end was sent may be sent again with the flag [Rewrite]: then the later
// content replaces the earlier one. R and D are orders, so the order of the
// stream matters.
//
// The stream is hostile input: whoever could write to the store could write it.
// [Reader] holds a few kilobytes whatever it is fed, verifies every sum, and
// refuses names that a restore could be led astray by, data that overlaps or goes
// backwards, and an end in the middle of a file. [Extract] writes below an
// [os.Root] only, makes nothing but folders and regular files, and writes over a
// file only where the stream says that it replaces one. Every refusal is a
// [coffer.Error] of KindCorrupt.
//
// [Reader] is like archive/tar's: Next moves to a chunk, Read gives its data.
// [Writer] is its counterpart, [ParseHeader] the format's core, for those who
// watch a stream as it passes.
package xbstream
