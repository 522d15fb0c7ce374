//go:build race

package model

// slow: the race detector makes the records some ten times slower, so fewer
// histories are played under it.
const slow = true
