package trove

// Instance is one database instance. The fields from Created on are there in the
// detailed views only; TenantID and InstanceAdmin for admins only.
type Instance struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Status          string            `json:"status"`
	OperatingStatus string            `json:"operating_status"`
	Links           []Link            `json:"links"`
	Flavor          FlavorRef         `json:"flavor"`
	Datastore       InstanceDatastore `json:"datastore"`
	Region          string            `json:"region"`
	Access          Access            `json:"access"`
	TenantID        string            `json:"tenant_id,omitempty"`
	Volume          *Volume           `json:"volume,omitempty"`
	IP              []string          `json:"ip,omitempty"`
	Addresses       []Address         `json:"addresses,omitempty"`

	Created              *Time  `json:"created,omitempty"`
	Updated              *Time  `json:"updated,omitempty"`
	ServiceStatusUpdated *Time  `json:"service_status_updated,omitempty"`
	Fault                *Fault `json:"fault,omitempty"`
	*InstanceAdmin
}

// InstanceAdmin is what only admins see of an instance, in the detailed views.
type InstanceAdmin struct {
	ServerID             *string `json:"server_id"`
	VolumeID             *string `json:"volume_id"`
	EncryptedRPCMessages bool    `json:"encrypted_rpc_messaging"`
}

// FlavorRef points at a flavor.
type FlavorRef struct {
	ID    string `json:"id"`
	Links []Link `json:"links"`
}

// InstanceDatastore is a product and its version as an instance shows it. The
// number is there in the detailed views only.
type InstanceDatastore struct {
	Type          string `json:"type"`
	Version       string `json:"version"`
	VersionNumber string `json:"version_number,omitempty"`
}

// Access says who may connect; empty until there is an address.
type Access struct {
	IsPublic *bool `json:"is_public,omitempty"`
}

// Volume is the data volume in GB; Used is there in the detailed views only.
type Volume struct {
	Size int  `json:"size"`
	Used *GiB `json:"used,omitempty"`
}

// Address is where an instance listens.
type Address struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	Network string `json:"network"`
}

// Fault is the last thing that went wrong with an instance.
type Fault struct {
	Message string  `json:"message"`
	Created Time    `json:"created"`
	Details *string `json:"details"`
}

// InstanceBody wraps one instance.
type InstanceBody struct {
	Instance Instance `json:"instance"`
}

// Instances is one page of a list; the marker is the last id.
type Instances struct {
	Instances []Instance `json:"instances"`
	Links     []NextLink `json:"links,omitempty"`
}

// InstanceCreate asks for an instance. Coffer makes one from a backup.
type InstanceCreate struct {
	Name         string           `json:"name"`
	RestorePoint *RestorePoint    `json:"restorePoint,omitempty"`
	Datastore    *DatastoreChoice `json:"datastore,omitempty"`
	Volume       *VolumeChoice    `json:"volume,omitempty"`
	ReplicaOf    string           `json:"replica_of,omitempty"`
}

// RestorePoint names the backup that an instance is made of.
type RestorePoint struct {
	BackupRef string `json:"backupRef"`
}

// DatastoreChoice names a product by name or id.
type DatastoreChoice struct {
	Type    string `json:"type,omitempty"`
	Version string `json:"version,omitempty"`
}

// VolumeChoice is the wanted volume's size in GB.
type VolumeChoice struct {
	Size int `json:"size"`
}

// InstanceCreateBody wraps an InstanceCreate.
type InstanceCreateBody struct {
	Instance InstanceCreate `json:"instance"`
}
