package coffer

import "strings"

// DefaultContainer is where backups go when nobody chose: Trove's own default.
const DefaultContainer = "database_backups"

// Prefix is where a project's backups of one container lie in a store that all
// projects share: "<project>/<container>/". A user's container name is one key
// component and no more: "%", "/" and "\" are escaped, and so is a leading dot,
// so that no name reaches outside its project.
func Prefix(p ProjectID, container string) string {
	if container == "" {
		container = DefaultContainer
	}
	var b strings.Builder
	b.WriteString(string(p))
	b.WriteByte('/')
	for i := range len(container) {
		c := container[i]
		if c == '%' || c == '/' || c == '\\' || c == '.' && i == 0 || c < 0x21 || c >= 0x7f {
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	b.WriteByte('/')
	return b.String()
}
