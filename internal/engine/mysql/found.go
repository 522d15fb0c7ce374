package mysql

// ServerOptions are the options that a server needs to start from the data in
// dir, as the backup itself recorded them; nothing else is taken from there.
func (e *Engine) ServerOptions(dir string) (map[string]string, error) { return serverOptions(dir) }

// Found says which tools a restore would use, by name, and what is missing.
func (e *Engine) Found() (tools map[string]string, missing []string) {
	tools = map[string]string{}
	for _, t := range []struct{ name, path string }{
		{backupProgram, e.cfg.Tools.Backup}, {"mariadbd", e.cfg.Tools.Server},
	} {
		path, err := lookTool(t.path, t.name)
		if err != nil {
			missing = append(missing, err.Error())
			continue
		}
		tools[t.name] = path
	}
	return tools, missing
}
