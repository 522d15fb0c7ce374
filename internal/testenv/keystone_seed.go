package testenv

import (
	"maps"
	"net/http"
	"slices"
)

// seed adds the projects, users, roles and the catalogue.
func (k *KeystoneServer) seed(o KeystoneOptions) error {
	token, err := k.Token("admin", "admin", "admin")
	if err != nil {
		return err
	}
	k.token = token
	for _, p := range []struct {
		project string
		users   []string
		roles   []string
	}{
		{"service", []string{"swift", "rgw", "trove"}, []string{"admin", "service"}},
		{"farm-a", []string{"alice", "anna"}, []string{"member"}},
		{"farm-b", []string{"bob", "bea"}, []string{"member"}},
		{"farm-c", []string{"carol"}, []string{"member"}},
		{"farm-d", []string{"dave"}, []string{"member"}},
	} {
		if err := k.addProject(p.project, p.users, p.roles); err != nil {
			return err
		}
	}
	for user, project := range map[string]string{"alice": "farm-a", "bob": "farm-b", "carol": "farm-c", "dave": "farm-d"} {
		if err := k.addAccessKey(user, project); err != nil {
			return err
		}
	}
	return k.addEndpoints(o.Endpoints)
}

// thing is what Keystone answers to any POST that makes one.
type thing struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// make creates one thing and answers its id.
func (k *KeystoneServer) make(kind, plural string, fields map[string]any) (string, error) {
	var out map[string]thing
	_, err := k.Call(http.MethodPost, "/"+plural, k.token, map[string]any{kind: fields}, &out)
	return out[kind].ID, err
}

func (k *KeystoneServer) addProject(project string, users, roles []string) error {
	pid, err := k.make("project", "projects", map[string]any{"name": project, "domain_id": "default"})
	if err != nil {
		return err
	}
	k.Projects[project] = pid
	for _, user := range users {
		uid, err := k.make("user", "users", map[string]any{"name": user, "password": user + "pass", "domain_id": "default", "default_project_id": pid})
		if err != nil {
			return err
		}
		k.Users[user] = uid
		for _, role := range roles {
			rid, err := k.role(role)
			if err != nil {
				return err
			}
			if _, err := k.Call(http.MethodPut, "/projects/"+pid+"/users/"+uid+"/roles/"+rid, k.token, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// role finds a role by its name, or makes it.
func (k *KeystoneServer) role(name string) (string, error) {
	var out struct {
		Roles []thing `json:"roles"`
	}
	if _, err := k.Call(http.MethodGet, "/roles?name="+name, k.token, nil, &out); err != nil {
		return "", err
	}
	if len(out.Roles) > 0 {
		return out.Roles[0].ID, nil
	}
	return k.make("role", "roles", map[string]any{"name": name})
}

func (k *KeystoneServer) addAccessKey(user, project string) error {
	token, err := k.Token(user, user+"pass", project)
	if err != nil {
		return err
	}
	var out struct {
		Credential AccessKey `json:"credential"`
	}
	_, err = k.Call(http.MethodPost, "/users/"+k.Users[user]+"/credentials/OS-EC2", token,
		map[string]any{"tenant_id": k.Projects[project]}, &out)
	k.EC2[user] = out.Credential
	return err
}

func (k *KeystoneServer) addEndpoints(endpoints map[string]string) error {
	for _, kind := range slices.Sorted(maps.Keys(endpoints)) {
		if err := k.AddEndpoint(kind, "RegionOne", endpoints[kind]); err != nil {
			return err
		}
	}
	return nil
}

// AddEndpoint puts a service with that URL into the catalogue. A region that is
// not there yet is made.
func (k *KeystoneServer) AddEndpoint(kind, region, url string) error {
	if region != "RegionOne" {
		if _, err := k.make("region", "regions", map[string]any{"id": region}); err != nil {
			return err
		}
	}
	service, err := k.make("service", "services", map[string]any{"type": kind, "name": kind + "-" + region})
	if err != nil {
		return err
	}
	for _, face := range []string{"public", "internal", "admin"} {
		fields := map[string]any{"service_id": service, "interface": face, "region_id": region, "url": url}
		if _, err := k.make("endpoint", "endpoints", fields); err != nil {
			return err
		}
	}
	return nil
}

// AppCredential makes an application credential of a user: its id and secret.
func (k *KeystoneServer) AppCredential(user, project, name string) (id, secret string, err error) {
	token, err := k.Token(user, user+"pass", project)
	if err != nil {
		return "", "", err
	}
	secret = "secret-of-" + name
	var out map[string]thing
	_, err = k.Call(http.MethodPost, "/users/"+k.Users[user]+"/application_credentials", token,
		map[string]any{"application_credential": map[string]any{"name": name, "secret": secret}}, &out)
	return out["application_credential"].ID, secret, err
}

// Trust lets trustee act as trustor in the trustor's project; it answers the
// trust's id.
func (k *KeystoneServer) Trust(trustor, project, trustee string) (string, error) {
	token, err := k.Token(trustor, trustor+"pass", project)
	if err != nil {
		return "", err
	}
	var out map[string]thing
	_, err = k.Call(http.MethodPost, "/OS-TRUST/trusts", token, map[string]any{"trust": map[string]any{
		"trustor_user_id": k.Users[trustor], "trustee_user_id": k.Users[trustee], "project_id": k.Projects[project],
		"impersonation": true, "roles": []map[string]any{{"name": "member"}},
	}}, &out)
	return out["trust"].ID, err
}
