//go:build !race

package swift_test

// raced tells that the race detector is in, which takes memory and time of its own.
const raced = false
