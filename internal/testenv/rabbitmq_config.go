package testenv

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdb/coffer"
)

// serverScript becomes the node itself (exec) when RABBITMQ_ALLOW_INPUT is set; the
// one in PATH changes to another account first.
const serverScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// smallBroker keeps a node light, and quick to start.
const smallBroker = `num_acceptors.tcp = 2
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 50MB
log.console = false
log.file.level = info
collect_statistics_interval = 30000
heartbeat = 60
`

// configure picks free ports and writes everything that the node reads.
func (b *Broker) configure() error {
	ports, err := loopbackPorts(5)
	if err != nil {
		return err
	}
	b.Port, b.dist, b.epmdPort = ports[0], ports[1], ports[2]
	b.node = fmt.Sprintf("coffer%d@localhost", b.Port)
	for _, dir := range []string{"home", "etc/gen", "etc/schema", "mnesia", "log", "run"} {
		if err := os.MkdirAll(b.path(dir), 0o700); err != nil {
			return err
		}
	}
	var c strings.Builder
	fmt.Fprintf(&c, "listeners.tcp.1 = %s\nload_definitions = %s\n", b.Addr(), b.path("etc", "definitions.json"))
	c.WriteString(smallBroker)
	plugins := "[]."
	if b.opts.Management {
		plugins, b.ManagementPort = "[rabbitmq_management].", ports[3]
		fmt.Fprintf(&c, "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\n", b.ManagementPort)
	}
	if s := b.opts.TLS; s != nil {
		b.TLSPort = ports[4]
		fmt.Fprintf(&c, "listeners.ssl.1 = 127.0.0.1:%d\nnum_acceptors.ssl = 2\n", b.TLSPort)
		fmt.Fprintf(&c, "ssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s\n", s.CA, s.Cert, s.Key)
		c.WriteString("ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n")
	}
	for _, line := range b.opts.ExtraConfig {
		c.WriteString(line + "\n")
	}
	definitions, err := json.MarshalIndent(b.definitions(), "", " ")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"home/.erlang.cookie": coffer.NewNonce(), "etc/rabbitmq-env.conf": "", "etc/enabled_plugins": plugins,
		"etc/rabbitmq.conf": c.String(), "etc/definitions.json": string(definitions),
	} {
		os.Remove(b.path(name)) // the cookie of an earlier try cannot be written to
		if err := os.WriteFile(b.path(name), []byte(content), 0o400); err != nil {
			return err
		}
	}
	return nil
}

// definitions are the accounts, as the node reads them at its start.
func (b *Broker) definitions() map[string]any {
	all := append([]BrokerUser{{
		Name: BrokerUserName, Password: BrokerUserPassword, Tags: "administrator", Configure: ".*", Write: ".*", Read: ".*",
	}}, b.opts.Users...)
	users, permissions, topics := []any{}, []any{}, []any{}
	for _, u := range all {
		users = append(users, map[string]any{"name": u.Name, "password": u.Password, "tags": u.Tags})
		permissions = append(permissions, map[string]any{
			"user": u.Name, "vhost": "/", "configure": u.Configure, "write": u.Write, "read": u.Read,
		})
		if u.TopicExchange != "" {
			topics = append(topics, map[string]any{
				"user": u.Name, "vhost": "/", "exchange": u.TopicExchange, "write": u.TopicWrite, "read": u.TopicRead,
			})
		}
	}
	return map[string]any{
		"vhosts": []any{map[string]any{"name": "/"}}, "users": users, "permissions": permissions, "topic_permissions": topics,
		"parameters": []any{}, "policies": []any{}, "queues": []any{}, "exchanges": []any{}, "bindings": []any{},
	}
}

// env is the environment of the node and of its tools: nothing of this machine's
// own broker, everything on loopback, one scheduler that does not spin.
func (b *Broker) env() []string {
	const loopback = "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
	return []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=" + b.path("home"),
		"ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", b.epmdPort),
		"RABBITMQ_NODENAME=" + b.node, "RABBITMQ_USE_LONGNAME=false",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprintf("RABBITMQ_NODE_PORT=%d", b.Port), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", b.dist),
		"RABBITMQ_CONF_ENV_FILE=" + b.path("etc", "rabbitmq-env.conf"), "RABBITMQ_CONFIG_FILE=" + b.path("etc", "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + b.path("etc", "advanced.config"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + b.path("etc", "enabled_plugins"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + b.path("etc", "gen"), "RABBITMQ_SCHEMA_DIR=" + b.path("etc", "schema"),
		"RABBITMQ_MNESIA_BASE=" + b.path("mnesia"), "RABBITMQ_LOG_BASE=" + b.path("log"), "RABBITMQ_PID_FILE=" + b.path("run", "pid"),
		"RABBITMQ_ALLOW_INPUT=1", "RABBITMQ_CTL_ERL_ARGS=" + loopback,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + loopback + " +SDio 2 +SDcpu 1:1 +sbwtdcpu none +sbwtdio none",
	}
}

func (b *Broker) logTail() string {
	var out strings.Builder
	logs, _ := filepath.Glob(b.path("log", "*.log"))
	for _, name := range append(logs, b.path("console.log")) {
		text, _ := os.ReadFile(name)
		out.Write(text[max(0, len(text)-2000):])
	}
	return out.String()
}

// handshake asks for AMQP 0-9-1 and expects Connection.Start.
func handshake(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	var frame [11]byte // type, channel (2), size (4), class (2), method (2)
	if _, err := io.ReadFull(c, frame[:]); err != nil {
		return err
	}
	if frame[0] != 1 || string(frame[7:]) != "\x00\x0a\x00\x0a" {
		return fmt.Errorf("it answers %x, not with Connection.Start", frame)
	}
	return nil
}
