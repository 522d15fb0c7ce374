package mysql

import "github.com/cofferdb/coffer/internal/layers"

// systemFiles gives the names of the system tablespace's files as a stream has
// them: without folders.
func systemFiles(dataFilePath string) ([]string, error) { return layers.SystemFiles(dataFilePath) }
