package coffer

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

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
	for i := range len(container) {
		c := container[i]
		if c == '%' || c == '/' || c == '\\' || c == '.' && i == 0 || c < 0x21 || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	name := b.String()
	if len(name) > maxComponent {
		sum := sha256.Sum256([]byte(container))
		name = fmt.Sprintf("%s%%~%x", name[:maxComponent-34], sum[:16])
	}
	return string(p) + "/" + name + "/"
}

// maxComponent bounds a container's key component in bytes: file systems allow
// 255. A longer one ends in "%~" and a sum of the whole name.
const maxComponent = 200

// FillContainer puts ids into a container's template: "{project}" and "{instance}".
func FillContainer(template string, p ProjectID, in InstanceID) string {
	return strings.NewReplacer("{project}", string(p), "{instance}", string(in)).Replace(template)
}
