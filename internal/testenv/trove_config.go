package testenv

import "fmt"

// config is trove.conf: everything on loopback, no volumes, no limits that a test
// would meet.
func (s *TroveServer) config(o TroveOptions) string {
	return fmt.Sprintf(troveConf, s.port, s.Broker.Addr(), BrokerUserName, BrokerUserPassword, o.Secure, s.dir, s.dsn(), s.Keystone.URL)
}

const troveConf = `[DEFAULT]
bind_host = 127.0.0.1
bind_port = %[1]d
use_stderr = true
api_paste_config = /usr/share/trove-common/api-paste.ini
transport_url = rabbit://%[3]s:%[4]s@%[2]s//
control_exchange = trove
enable_secure_rpc_messaging = %[5]t
trove_api_workers = 1
trove_conductor_workers = 1
trove_volume_support = false
network_driver = trove.network.neutron.NeutronDriver
max_backups_per_tenant = 500
http_get_rate = 10000
http_post_rate = 10000
http_delete_rate = 10000
default_datastore = mariadb
pybasedir = /usr/lib/python3/dist-packages/trove
[database]
connection = %[7]s
[oslo_concurrency]
lock_path = %[6]s
[oslo_messaging_notifications]
driver = noop
[keystone_authtoken]
www_authenticate_uri = %[8]s
auth_url = %[8]s
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = trove
password = trovepass
[service_credentials]
auth_url = %[8]s
region_name = RegionOne
project_name = service
project_domain_name = Default
user_domain_name = Default
username = trove
password = trovepass
[network]
enable_access_check = false
[cache]
enabled = false
[mariadb]
volume_support = false
docker_image = none
backup_docker_image = none
`
