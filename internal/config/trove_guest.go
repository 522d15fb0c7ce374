package config

import (
	"slices"
	"strings"
)

// forPlane reports whether an option is the control plane's alone.
func forPlane(o option) bool {
	switch o.section {
	case "DEFAULT":
		return slices.Contains([]string{
			"max_backups_per_tenant", "backup_swift_container", "bind_host", "bind_port", "trove_conductor_workers",
			"taskmanager_rpc_encr_key",
		}, o.key)
	case "database", "ssl":
		return true
	case "service_credentials":
		return o.key != "region_name"
	}
	return false
}

// asGuest makes it the configuration of an agent under Trove.
func (im *importer) asGuest() {
	im.put("agent", "profile", ProfileTrove)
	im.put("bus", "trove_instance", im.seen["DEFAULT.guest_id"])
	im.todo("say which database it is: set database (and credentials_file) in [agent]")
	if len(im.sections["bus"]) == 1 {
		im.todo("there is no transport_url: name trove-guestagent.conf as well")
	}
}

// guestKey keeps the instance's key, if the guest has one.
func (im *importer) guestKey() {
	if key := im.seen["DEFAULT.instance_rpc_encr_key"]; key != "" {
		im.secret("bus", "trove_instance_keys_file", "trove-instance.keys", im.seen["DEFAULT.guest_id"]+" "+key, "instance_rpc_encr_key")
	}
}

// storage is where backups lie: a guest's in the callers' Swift, as long as they do.
func (im *importer) storage(strategy string) {
	switch swift := strings.HasPrefix(strings.ToLower(strategy), "swift"); {
	case !im.guest:
		im.todo("storage_strategy is %q: write a [stores.NAME] for the place where backups lie", strategy)
	case !swift:
		im.todo("storage_strategy is %q: here a guest stores in Swift alone", strategy)
	}
}

// region is where the object store is, and what the API says of itself.
func (im *importer) region(name string) {
	if im.guest {
		im.once("agent", "trove_region", name)
		return
	}
	im.once("api", "region", name)
	if im.seen["service_credentials.auth_url"] != "" {
		im.once("trove", "region", name)
	}
}
