package guard

import "time"

// order is the first line on the guard's standard input.
type order struct {
	Exe   string   `json:"exe"`
	Args  []string `json:"args"` // without the program's name
	Env   []string `json:"env"`
	Dir   string   `json:"dir"`
	User  *User    `json:"user,omitempty"`
	Lines bool     `json:"lines"`
	Rules Rules    `json:"rules"`
}

// What follows the order on the guard's standard input, a byte each.
const (
	byteBeat = '.'
	byteKill = 'K'
)

// User is whom a tool runs as, when root starts it.
type User struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// message is one line from the guard; exactly one field but At is set.
type message struct {
	At      time.Duration `json:"at"` // since the tool's start, on the guard's monotonic clock
	Started int           `json:"started,omitempty"`
	NoStart string        `json:"no_start,omitempty"`
	Beat    bool          `json:"beat,omitempty"`
	Line    *string       `json:"line,omitempty"`
	Mark    *Sighting     `json:"mark,omitempty"`
	Stage   *StageEdge    `json:"stage,omitempty"`
	Ended   *Report       `json:"ended,omitempty"`
}

// Sighting is a line that matched a mark.
type Sighting struct {
	Name string `json:"name"`
	Line string `json:"line"`
}

// StageEdge is a stage's begin or end.
type StageEdge struct {
	Name   string        `json:"name"`
	Begin  bool          `json:"begin"`
	Locked bool          `json:"locked,omitempty"`
	At     time.Duration `json:"-"`              // since the tool's start
	Took   time.Duration `json:"took,omitempty"` // at an end
}

// Report is how a tool ended.
type Report struct {
	Exit    int                  `json:"exit"`             // exit status; −1 when a signal ended it
	Signal  string               `json:"signal,omitempty"` // e.g. "killed"
	Reason  string               `json:"reason,omitempty"` // why the guard ended it; "" when it ended by itself
	Took    time.Duration        `json:"took"`
	Stages  map[string]StageTime `json:"stages,omitempty"`
	Marks   map[string][]string  `json:"marks,omitempty"` // the lines seen of each mark, the first few
	Tail    []string             `json:"tail,omitempty"`  // the last lines
	Bytes   int64                `json:"bytes"`           // of standard error
	Dropped int64                `json:"dropped"`         // lines that were not passed on
}

// StageTime sums up the spans of one stage.
type StageTime struct {
	Count   int           `json:"count"`
	Total   time.Duration `json:"total"`
	Longest time.Duration `json:"longest"`
}
