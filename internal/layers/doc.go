// Package layers joins the layers of a backup chain, a full and its increments of
// InnoDB pages, into one set of files, reading of each layer only what is used.
//
// A chain is planned from the layers' indexes alone ([Join]): first the names of
// each layer are settled (what was dropped, renamed or made while that backup
// ran), then every tablespace that the newest layer has is followed down by its id,
// whatever its name was, to the first layer that has it as a whole file or lacks
// it. Of each page the newest layer that has it counts. The page lists are runs in
// ascending order and are merged as streams, so that a plan's memory does not grow
// with the pages; they wait in a spool that the caller gives.
//
// [Plan.Write] then writes the files in stretches, each front to back, several at a
// time. Superseded pages are not fetched, but for short gaps that cost less to read
// than to skip.
// Every page is checked as the server would: its sum, its number, its tablespace.
//
// The package does no I/O of its own: it reads ranges of layers and writes into
// files that the caller opens. The rules are told in docs/formats/innodb-layers.md.
package layers
