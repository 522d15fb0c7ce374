package mysql

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// replicatedGTID is one row of mysql.gtid_slave_pos: a replica writes it in the
// transaction that it applies, so that a snapshot holds both or neither.
type replicatedGTID struct{ sub, server, seq uint64 }

var slavePosRow = regexp.MustCompile(`\((\d+),(\d+),(\d+),(\d+)\)`)

// slavePosInsert begins the rows of that table, or of its twins for other storage
// engines.
var slavePosInsert = regexp.MustCompile("^INSERT +(?:IGNORE +)?INTO `gtid_slave_pos")

// replicatedRow reads a line of the dump of the database mysql. Of each domain the
// row with the largest sub_id counts; the others are about to be deleted.
func (m *dumpMarks) replicatedRow(line string) {
	if slavePosInsert.MatchString(line) {
		m.inSlavePos = true
	}
	if !m.inSlavePos {
		return
	}
	for _, f := range slavePosRow.FindAllStringSubmatch(line, -1) {
		var n [4]uint64
		for i := range n {
			n[i], _ = strconv.ParseUint(f[i+1], 10, 64) // digits
		}
		domain := strconv.FormatUint(n[0], 10)
		if was, ok := m.replicated[domain]; !ok || n[1] > was.sub {
			if m.replicated == nil {
				m.replicated = make(map[string]replicatedGTID)
			}
			m.replicated[domain] = replicatedGTID{sub: n[1], server: n[2], seq: n[3]}
		}
	}
	switch {
	case len(line) >= maxDumpLine: // rows beyond were not kept: nothing is better than an old place
		m.slavePosCut, m.inSlavePos = true, false
	case strings.HasSuffix(line, ";"):
		m.inSlavePos = false
	}
}

// replicatedGTIDs is the replica's place in its source's history; "" is not known.
func (m *dumpMarks) replicatedGTIDs() string {
	if m.slavePosCut {
		return ""
	}
	var all []string
	for _, domain := range slices.Sorted(maps.Keys(m.replicated)) {
		g := m.replicated[domain]
		all = append(all, fmt.Sprintf("%s-%d-%d", domain, g.server, g.seq))
	}
	return strings.Join(all, ",")
}
