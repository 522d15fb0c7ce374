package testenv

import (
	"fmt"
	"testing"
)

// The one datastore of a private Trove.
const (
	troveDatastore = "eeeeeeee-0000-4000-8000-000000000001"
	troveVersion   = "dddddddd-0000-4000-8000-000000000001"
)

// TroveGuestKey as Trove keeps it: under the published inst_rpc_key_encr_key.
const troveSealedKey = "4KQUbpGkGNVPkRIt5leG5tFxBOi9/uG2R2F0nEENZCQa1j9PDi2pdEv0c6kujZ7IQhRJ46JNEGif0FoH2aPO3Q=="

// seed adds the datastore that instances are of.
func (s *TroveServer) seed() error {
	for _, line := range []string{
		"INSERT INTO trove.datastores (id, name) VALUES ('" + troveDatastore + "', 'mariadb')",
		`INSERT INTO trove.datastore_versions (id, datastore_id, name, version, image_id, packages, active, manager)
			VALUES ('` + troveVersion + `', '` + troveDatastore + `', '10.11', '10.11', 'none', '', 1, 'mariadb')`,
		"UPDATE trove.datastores SET default_version_id = '" + troveVersion + "'",
	} {
		if _, err := s.DB.Exec(line); err != nil {
			return fmt.Errorf("add the datastore: %w", err)
		}
	}
	return nil
}

// AddInstance puts a running instance of a project straight into Trove's tables, as
// the creation of one would leave it, and gives its id. With secure it has a key
// (TroveGuestKey), else it is one from before keys.
func (s *TroveServer) AddInstance(t testing.TB, project string, secure bool) string {
	t.Helper()
	id := uuid()
	var key any
	if secure {
		key = troveSealedKey
	}
	s.cloud.add(id)
	if _, err := s.DB.Exec(`INSERT INTO trove.instances (id, created, updated, name, compute_instance_id, task_id, task_description,
		flavor_id, tenant_id, server_status, deleted, datastore_version_id, region_id, encrypted_key)
		VALUES (?, now(), now(), ?, ?, 1, 'No tasks for the instance.', '1', ?, 'ACTIVE', 0, ?, 'RegionOne', ?)`,
		id, "db-"+id[:8], id, s.Keystone.Projects[project], troveVersion, key); err != nil {
		t.Fatalf("add an instance to Trove: %v", err)
	}
	if _, err := s.DB.Exec(`INSERT INTO trove.service_statuses (id, instance_id, status_id, status_description, updated_at)
		VALUES (?, ?, 1, 'running', now())`, uuid(), id); err != nil {
		t.Fatalf("add an instance's status to Trove: %v", err)
	}
	if _, err := s.DB.Exec(`INSERT INTO trove.agent_heartbeats (id, instance_id, updated_at, deleted) VALUES (?, ?, now(), 0)`, uuid(), id); err != nil {
		t.Fatalf("add an agent to Trove: %v", err)
	}
	return id
}
