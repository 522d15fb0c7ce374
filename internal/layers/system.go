package layers

import (
	"path"
	"regexp"
	"strings"

	"github.com/cofferdb/coffer"
)

// systemFile is one file of an innodb_data_file_path: "ibdata1:12M:autoextend".
var systemFile = regexp.MustCompile(`^([^:;]+):\d+[KMG]?(:autoextend(:max:\d+[KMG]?)?)?$`)

// SystemFiles gives the names of the system tablespace's files, in order, as a
// stream has them: without folders.
func SystemFiles(dataFilePath string) ([]string, error) {
	var names []string
	for item := range strings.SplitSeq(strings.Trim(dataFilePath, `"`), ";") {
		m := systemFile.FindStringSubmatch(strings.TrimSpace(item))
		if m == nil {
			return nil, coffer.E(coffer.KindInvalid, "read innodb_data_file_path", "%q is not understood", dataFilePath)
		}
		names = append(names, path.Base(m[1]))
	}
	return names, nil
}
