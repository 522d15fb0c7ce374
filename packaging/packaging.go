// Package packaging holds what a package of Coffer ships beside the program: the
// annotated example of its configuration, the systemd units, and what builds the
// Debian package out of them.
package packaging

import _ "embed"

// Example is the annotated configuration, every key with its default.
//
//go:embed coffer.toml
var Example string
