package testenv

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// layOut writes every server's configuration.
func (s *SwiftServer) layOut(o SwiftOptions, ports []int) error {
	for _, sub := range []string{"etc", "srv/d1", "cache"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	files := map[string]string{"swift.conf": swiftConf}
	common := func(i int) string { return fmt.Sprintf(swiftCommon, ports[i], me.Username, s.dir) }
	for i, kind := range []string{"account", "container", "object"} {
		files[fmt.Sprintf("%s-server%d.conf", kind, i)] = common(i) + fmt.Sprintf(swiftBackend, kind, s.dir)
	}
	files[fmt.Sprintf("proxy-server%d.conf", swiftTempauth)] = common(swiftTempauth) + s.proxy(o, o.NoSLO, ports[swiftMemcached], "tempauth") + swiftTempauthConf
	if o.KeystoneURL != "" {
		files[fmt.Sprintf("proxy-server%d.conf", swiftKeystone)] = common(swiftKeystone) +
			s.proxy(o, false, ports[swiftMemcached], "authtoken keystoneauth") + fmt.Sprintf(swiftKeystoneConf, strings.TrimSuffix(o.KeystoneURL, "/v3"))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// proxy is a proxy's pipeline and its filters, but the one that knows users.
func (s *SwiftServer) proxy(o SwiftOptions, noSLO bool, memcached int, auth string) string {
	slo := "slo "
	if noSLO {
		slo = ""
	}
	segments := 1000
	if o.MaxSegments > 0 {
		segments = o.MaxSegments
	}
	return strings.NewReplacer("{auth}", auth, "{slo}", slo, "{segments}", fmt.Sprint(segments), "{memcached}", fmt.Sprint(memcached)).Replace(swiftProxy)
}

const swiftConf = `[swift-hash]
swift_hash_path_suffix = loopback
swift_hash_path_prefix = loopback
[storage-policy:0]
name = Policy-0
default = yes
`

// swiftCommon wants the port, the account to run as and the folder.
const swiftCommon = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %[1]d
workers = 0
user = %[2]s
swift_dir = %[3]s/etc
devices = %[3]s/srv
mount_check = false
log_address = %[3]s/none
disable_fallocate = true
`

// swiftBackend wants the kind of server and the folder.
const swiftBackend = `[pipeline:main]
pipeline = healthcheck %[1]s-server
[app:%[1]s-server]
use = egg:swift#%[1]s
[filter:healthcheck]
use = egg:swift#healthcheck
[object-expirer]
recon_cache_path = %[2]s/cache
`

// swiftProxy is a usual pipeline. Small segments are not slowed down, as they
// would be by default.
const swiftProxy = `[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl {auth} copy container-quotas account-quotas {slo}dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:account-quotas]
use = egg:swift#account_quotas
[filter:slo]
use = egg:swift#slo
max_manifest_segments = {segments}
rate_limit_after_segment = 100000
[filter:dlo]
use = egg:swift#dlo
rate_limit_after_segment = 100000
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
`

const swiftTempauthConf = `[filter:tempauth]
use = egg:swift#tempauth
user_admin_admin = admin .admin .reseller_admin
user_test_tester = testing .admin
user_test2_tester2 = testing2 .admin
storage_url_scheme = http
`

// swiftKeystoneConf wants Keystone's address without /v3.
const swiftKeystoneConf = `[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = %[1]s
auth_url = %[1]s
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = swift
password = swiftpass
delay_auth_decision = true
cache = swift.cache
include_service_catalog = false
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_admin_role = ResellerAdmin
`

// swiftRings wants the folder and the ports of account, container and object.
const swiftRings = `import sys
from swift.common.ring import RingBuilder
etc, *ports = sys.argv[1:]
for name, port in zip(('account', 'container', 'object'), ports):
    b = RingBuilder(4, 1, 0)
    b.add_dev(dict(region=1, zone=1, ip='127.0.0.1', port=int(port), replication_ip='127.0.0.1', replication_port=int(port), device='d1', weight=1.0, meta=''))
    b.rebalance()
    b.get_ring().save('%s/%s.ring.gz' % (etc, name))
`
