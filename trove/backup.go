package trove

// Backup is one backup as Trove shows it.
type Backup struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description *string    `json:"description"`
	LocationRef *string    `json:"locationRef"` // a URL; null until the end
	InstanceID  *string    `json:"instance_id"` // null for an import
	Created     Time       `json:"created"`
	Updated     Time       `json:"updated"`
	Size        *GiB       `json:"size"` // null until the first report
	Status      string     `json:"status"`
	ParentID    *string    `json:"parent_id"` // null for a full
	ProjectID   string     `json:"project_id"`
	Datastore   *Datastore `json:"datastore,omitempty"`
}

// Datastore is a product and its version as a backup shows it.
type Datastore struct {
	Type      string `json:"type"`
	Version   string `json:"version"`
	VersionID string `json:"version_id"`
}

// BackupBody wraps one backup.
type BackupBody struct {
	Backup Backup `json:"backup"`
}

// Backups is one page of a list. Links is absent on the last page.
type Backups struct {
	Backups []Backup   `json:"backups"`
	Links   []NextLink `json:"links,omitempty"`
}

// BackupCreate asks for a backup.
type BackupCreate struct {
	Name           string       `json:"name"`
	Instance       string       `json:"instance,omitempty"`
	Description    *string      `json:"description,omitempty"`
	ParentID       string       `json:"parent_id,omitempty"`
	Incremental    int          `json:"incremental,omitempty"` // 1: onto the newest COMPLETED
	SwiftContainer string       `json:"swift_container,omitempty"`
	Method         string       `json:"method,omitempty"` // Coffer's own, for an admin: Trove ignores it
	RestoreFrom    *RestoreFrom `json:"restore_from,omitempty"`
}

// RestoreFrom names an object that shall become a backup (an import).
type RestoreFrom struct {
	RemoteLocation          string  `json:"remote_location"`
	LocalDatastoreVersionID string  `json:"local_datastore_version_id"`
	Size                    float64 `json:"size"`
}

// BackupCreateBody wraps a BackupCreate.
type BackupCreateBody struct {
	Backup BackupCreate `json:"backup"`
}

// BackupStrategy chooses the container of future backups. InstanceID "" is the
// whole project's.
type BackupStrategy struct {
	ProjectID      string `json:"project_id"`
	InstanceID     string `json:"instance_id"`
	Backend        string `json:"backend"`
	SwiftContainer string `json:"swift_container"`
}

// BackupStrategyBody wraps one strategy.
type BackupStrategyBody struct {
	BackupStrategy BackupStrategy `json:"backup_strategy"`
}

// BackupStrategies is the whole list; it has no pages.
type BackupStrategies struct {
	BackupStrategies []BackupStrategy `json:"backup_strategies"`
}

// BackupStrategyCreate sets a strategy.
type BackupStrategyCreate struct {
	SwiftContainer string `json:"swift_container"`
	InstanceID     string `json:"instance_id,omitempty"`
}

// BackupStrategyCreateBody wraps a BackupStrategyCreate.
type BackupStrategyCreateBody struct {
	BackupStrategy BackupStrategyCreate `json:"backup_strategy"`
}
