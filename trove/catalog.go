package trove

// Versions is the answer of the root.
type Versions struct {
	Versions []Version `json:"versions"`
}

// Version is one version of the API.
type Version struct {
	ID      string     `json:"id"`
	Status  string     `json:"status"`
	Updated string     `json:"updated"`
	Links   []NextLink `json:"links"`
}

// DatastoreItem is a database product.
type DatastoreItem struct {
	ID             string             `json:"id"`
	Name           string             `json:"name"`
	Links          []Link             `json:"links"`
	Versions       []DatastoreVersion `json:"versions"`
	DefaultVersion string             `json:"default_version,omitempty"`
}

// DatastoreBody wraps one datastore.
type DatastoreBody struct {
	Datastore DatastoreItem `json:"datastore"`
}

// Datastores is the whole list.
type Datastores struct {
	Datastores []DatastoreItem `json:"datastores"`
}

// DatastoreVersion is one version of a product. Datastore is the product's id,
// and absent where the version lies inside its datastore.
type DatastoreVersion struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	Links     []Link `json:"links"`
	Datastore string `json:"datastore,omitempty"`
}

// DatastoreVersions is the list of a product's versions.
type DatastoreVersions struct {
	Versions []DatastoreVersion `json:"versions"`
}

// DatastoreVersionBody wraps one version.
type DatastoreVersionBody struct {
	Version DatastoreVersion `json:"version"`
}

// Flavor is a machine size.
type Flavor struct {
	ID        int    `json:"id"`
	Links     []Link `json:"links"`
	Name      string `json:"name"`
	RAM       int    `json:"ram"`
	VCPUs     int    `json:"vcpus"`
	Disk      int    `json:"disk"`
	Ephemeral int    `json:"ephemeral"`
	StrID     string `json:"str_id"`
}

// FlavorBody wraps one flavor.
type FlavorBody struct {
	Flavor Flavor `json:"flavor"`
}

// Flavors is the whole list.
type Flavors struct {
	Flavors []Flavor `json:"flavors"`
}

// Limits are the absolute limits, followed by the rate limits.
type Limits struct {
	Limits []any `json:"limits"`
}

// AbsoluteLimits are a project's quotas; -1 is no limit.
type AbsoluteLimits struct {
	Verb         string `json:"verb"` // "ABSOLUTE"
	MaxBackups   int    `json:"max_backups"`
	MaxInstances int    `json:"max_instances"`
	MaxRAM       int    `json:"max_ram"`
	MaxVolumes   int    `json:"max_volumes"`
}

// RateLimit is a limit on requests of one verb.
type RateLimit struct {
	NextAvailable string `json:"nextAvailable"`
	Remaining     int    `json:"remaining"`
	Unit          string `json:"unit"`
	Value         int    `json:"value"`
	Verb          string `json:"verb"`
	URI           string `json:"uri"`
	Regex         string `json:"regex"`
}

// Quota is the use of one resource.
type Quota struct {
	Resource string `json:"resource"`
	InUse    int    `json:"in_use"`
	Reserved int    `json:"reserved"`
	Limit    int    `json:"limit"`
}

// Quotas is a project's use of all resources.
type Quotas struct {
	Quotas []Quota `json:"quotas"`
}
