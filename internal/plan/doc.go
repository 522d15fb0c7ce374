// Package plan decides without doing: what a restore would read and need, what a
// delete would take along, where a restored server goes, what retention lets go.
// Every decision is a function of facts that the caller has gathered, so each can
// be shown before it is carried out, and tested as text (testdata).
package plan
