package coffer

// State is where a backup, or any job, stands. The seven names are Trove's.
type State string

// The states. New, Building and Saving are running; the others are ends.
const (
	New          State = "NEW"           // asked for, no runner yet
	Building     State = "BUILDING"      // one runner has claimed it
	Saving       State = "SAVING"        // its commit has been granted
	Completed    State = "COMPLETED"     // the control plane has read the commit record and found every part
	Failed       State = "FAILED"        // it ended badly; nothing readable is left
	DeleteFailed State = "DELETE_FAILED" // the store refused a delete; the delete can be asked again
	Restored     State = "RESTORED"      // brought in from elsewhere (Trove's import)
)

// Running reports whether s is NEW, BUILDING or SAVING.
func (s State) Running() bool { return s == New || s == Building || s == Saving }

// Usable reports whether a backup in s may be restored or be a parent.
func (s State) Usable() bool { return s == Completed || s == Restored }

// Valid reports whether s is one of the seven.
func (s State) Valid() bool {
	switch s {
	case New, Building, Saving, Completed, Failed, DeleteFailed, Restored:
		return true
	}
	return false
}

// CanBecome is the whole table of transitions. A report may turn BUILDING into
// FAILED and never SAVING: from SAVING the control plane looks at the store and
// says COMPLETED or FAILED itself.
func (s State) CanBecome(to State) bool {
	switch s {
	case New:
		return to == Building || to == Failed
	case Building:
		return to == Saving || to == Failed || to == Completed // rescuer found a whole manifest
	case Saving:
		return to == Completed || to == Failed
	case Completed, Restored, Failed:
		return to == DeleteFailed
	case DeleteFailed:
		return false
	}
	return false
}
