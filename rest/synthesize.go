package rest

// Synthesize asks for a new full backup that is joined from a backup and all that it
// stands on.
type Synthesize struct {
	Name string `json:"name,omitempty"` // absent: as the backup is called
}

// SynthesizeBody wraps a Synthesize.
type SynthesizeBody struct {
	Synthesize Synthesize `json:"synthesize"`
}
