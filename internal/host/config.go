package host

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdb/coffer"
)

// AllowedOption reports whether Start takes a server option of this name: what
// the data's format depends on, and sizes. Nothing that names a path outside, a
// program, a library, an address or another server is among them.
func AllowedOption(name string) bool {
	_, ok := optionForm(canonical(name))
	return ok
}

var (
	reNumber = regexp.MustCompile(`^[0-9]{1,18}[KMGkmg]?$`)
	reWord   = regexp.MustCompile(`^[A-Za-z0-9_,-]{0,200}$`)
	// File names without a folder: "ibdata1:12M:autoextend".
	reFiles = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*:[0-9]+[KMGkmg]?(:autoextend(:max:[0-9]+[KMGkmg]?)?)?(;[A-Za-z0-9_][A-Za-z0-9_.-]*:[0-9]+[KMGkmg]?(:autoextend(:max:[0-9]+[KMGkmg]?)?)?)*$`)
)

func optionForm(name string) (*regexp.Regexp, bool) {
	switch name {
	case "innodb_data_file_path", "innodb_temp_data_file_path":
		return reFiles, true
	case "innodb_page_size", "innodb_undo_tablespaces", "innodb_log_file_size", "innodb_log_files_in_group",
		"innodb_buffer_pool_size", "innodb_compression_level", "innodb_ft_min_token_size", "innodb_ft_max_token_size",
		"ft_min_word_len", "ft_max_word_len", "key_buffer_size", "aria_pagecache_buffer_size", "aria_block_size",
		"aria_log_file_size", "lower_case_table_names", "max_allowed_packet", "max_connections", "server_id", "gtid_domain_id":
		return reNumber, true
	case "innodb_checksum_algorithm", "innodb_default_row_format", "innodb_file_per_table", "innodb_strict_mode",
		"innodb_compression_default", "innodb_compression_algorithm", "innodb_fast_shutdown", "innodb_flush_log_at_trx_commit",
		"character_set_server", "collation_server", "default_storage_engine", "explicit_defaults_for_timestamp", "sql_mode", "old_mode":
		return reWord, true
	}
	return nil, false
}

func canonical(name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
}

// checkOptions refuses every option and every value that is not expected.
func checkOptions(opts map[string]string) error {
	for name, value := range opts {
		form, ok := optionForm(canonical(name))
		if !ok {
			return coffer.E(coffer.KindInvalid, "check the server's options", "a restored server does not take the option %q", name)
		}
		if !form.MatchString(value) {
			return coffer.E(coffer.KindInvalid, "check the server's options", "%q is no value for %s", value, name)
		}
	}
	return nil
}

// optionFile is the slot's my.cnf. The host's own lines come last, so that they
// win whatever came before.
func optionFile(s Slot, opts map[string]string) ([]byte, error) {
	if err := checkOptions(opts); err != nil {
		return nil, err
	}
	if strings.ContainsAny(s.Dir, "\n\r\"'#\\ ") {
		return nil, coffer.E(coffer.KindInvalid, "write the server's options", "%q has a character that an option file cannot hold", s.Dir).
			WithHint("choose a folder without blanks, quotes and #")
	}
	var b strings.Builder
	b.WriteString("# Written at each start; changes are lost.\n[mariadbd]\n")
	b.WriteString("innodb_buffer_pool_size = 64M\nkey_buffer_size = 8M\naria_pagecache_buffer_size = 8M\n")
	for _, name := range slices.Sorted(maps.Keys(opts)) {
		fmt.Fprintf(&b, "%s = %s\n", canonical(name), opts[name])
	}
	fmt.Fprintf(&b, "datadir = %s\ninnodb_data_home_dir = %s\ninnodb_log_group_home_dir = %s\ninnodb_undo_directory = %s\naria_log_dir_path = %s\n",
		s.DataDir, s.DataDir, s.DataDir, s.DataDir, s.DataDir)
	fmt.Fprintf(&b, "tmpdir = %s\nsecure_file_priv = %s\nplugin_dir = %s\n", s.file("tmp"), s.file("tmp"), s.file("plugins"))
	fmt.Fprintf(&b, "socket = %s\npid_file = %s\nbind_address = 127.0.0.1\nport = %d\n", s.Socket, s.file("run/pid"), s.Port)
	b.WriteString(locked)
	return []byte(b.String()), nil
}

// locked keeps what came with the data from acting by itself.
const locked = `event_scheduler = OFF
skip_slave_start = ON
symbolic_links = OFF
local_infile = OFF
performance_schema = OFF
loose_feedback = OFF
`
