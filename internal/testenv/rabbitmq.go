package testenv

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The account that every private broker has: an administrator of the vhost "/".
const (
	BrokerUserName     = "coffer"
	BrokerUserPassword = "hidden-word-5a0e"
)

// BrokerUser is one account of a private broker, on the vhost "/".
type BrokerUser struct {
	Name, Password string
	Tags           string // e.g. "administrator"; "" is none

	Configure, Write, Read string // patterns of names; "" allows none

	TopicExchange         string // "" is no topic permission, which allows all
	TopicWrite, TopicRead string // patterns of routing keys on TopicExchange
}

// BrokerTLS are the files, PEM, with which a broker also listens for TLS.
type BrokerTLS struct{ CA, Cert, Key string }

// RabbitMQOptions say what a private broker is like. The zero value is a plain
// one that knows BrokerUserName alone.
type RabbitMQOptions struct {
	TLS         *BrokerTLS
	Management  bool         // the management plugin's HTTP interface; slower to start
	Users       []BrokerUser // beside BrokerUserName
	ExtraConfig []string     // further lines of rabbitmq.conf
}

// Broker is one private RabbitMQ node with an epmd of its own. What it holds in
// queues that are not durable is gone after Stop, Kill or Restart.
type Broker struct {
	Dir            string
	Port           int // AMQP on 127.0.0.1
	TLSPort        int // AMQP over TLS; 0 is none
	ManagementPort int // HTTP; 0 is none

	dist, epmdPort int
	node           string
	opts           RabbitMQOptions
	run, epmd      *process
}

// RabbitMQ starts a private broker and ends it with the test.
func RabbitMQ(t testing.TB, o RabbitMQOptions) *Broker {
	t.Helper()
	Need(t, "rabbitmq-server", "epmd")
	b, stop, err := StartRabbitMQ(o)
	if err != nil {
		t.Fatalf("start a private RabbitMQ: %v", err)
	}
	t.Cleanup(stop)
	return b
}

// StartRabbitMQ is RabbitMQ for a TestMain, whose tests share one broker. The
// caller ends it with stop, which leaves nothing behind.
func StartRabbitMQ(o RabbitMQOptions) (b *Broker, stop func(), err error) {
	dir, err := os.MkdirTemp("/tmp", "cfmq")
	if err != nil {
		return nil, nil, err
	}
	b = &Broker{Dir: dir, opts: o}
	stop = func() {
		b.Kill()
		b.endEpmd()
		os.RemoveAll(dir)
	}
	for try := 0; ; try++ {
		if err = b.configure(); err == nil {
			err = b.startEpmd()
		}
		if err == nil {
			err = b.Start()
		}
		if err == nil {
			return b, stop, nil
		}
		b.endEpmd()
		if try == 2 { // another took a port, most likely: what says so may be far up in the logs
			stop()
			return nil, nil, err
		}
	}
}

// Addr is where the broker listens, as host:port.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.Port) }

// URL is the broker's address with the account BrokerUserName.
func (b *Broker) URL() string { return b.URLFor(BrokerUserName, BrokerUserPassword) }

// URLFor is the broker's address with another account.
func (b *Broker) URLFor(user, password string) string {
	u := url.URL{Scheme: "amqp", User: url.UserPassword(user, password), Host: b.Addr(), Path: "/"}
	return u.String()
}

// Pid is the node's process id; 0 when it was never started.
func (b *Broker) Pid() int {
	if b.run == nil {
		return 0
	}
	return b.run.pid
}

// Start runs the node and waits until it speaks AMQP.
func (b *Broker) Start() error {
	if b.run != nil && b.run.running() {
		return nil
	}
	cmd := exec.Command(serverScript)
	cmd.Args = append(cmd.Args, "-noinput")
	cmd.Dir, cmd.Env = b.Dir, b.env()
	console, err := os.OpenFile(b.path("console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd.Stdout, cmd.Stderr = console, console
	if b.run, err = startProcess(cmd, os.Getuid(), os.Getgid(), true); err != nil {
		return err
	}
	for deadline := time.Now().Add(60 * time.Second); b.run.running() && time.Now().Before(deadline); {
		if err = handshake(b.Addr()); err == nil {
			return nil
		}
		select {
		case <-b.run.done:
		case <-time.After(20 * time.Millisecond):
		}
	}
	b.Kill()
	return fmt.Errorf("it does not answer (last try: %v); the end of its logs:\n%s", err, b.logTail())
}

// Stop shuts the node down in order and waits for its end.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Kill ends the node as a power cut would.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Restart shuts the node down in order and starts it again, on the same ports.
func (b *Broker) Restart() error {
	b.Stop()
	return b.Start()
}

// Ctl runs rabbitmqctl on the node and gives what it printed.
func (b *Broker) Ctl(args ...string) (string, error) {
	cmd := exec.Command("/usr/lib/rabbitmq/bin/rabbitmqctl", append([]string{"--quiet"}, args...)...)
	cmd.Dir, cmd.Env = b.Dir, b.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("rabbitmqctl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (b *Broker) end(sig syscall.Signal) {
	if b.run == nil || !b.run.running() {
		return
	}
	b.run.signal(sig, 30*time.Second)
}

func (b *Broker) startEpmd() error {
	program, err := Look("epmd")
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "-address", "127.0.0.1", "-port", fmt.Sprint(b.epmdPort))
	cmd.Dir, cmd.Env = b.Dir, b.env()
	if b.epmd, err = startProcess(cmd, os.Getuid(), os.Getgid(), true); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); b.epmd.running() && time.Now().Before(deadline); {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", b.epmdPort), time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-b.epmd.done:
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("epmd does not answer on port %d: is it in use?", b.epmdPort)
}

func (b *Broker) endEpmd() {
	if b.epmd != nil && b.epmd.running() {
		b.epmd.signal(syscall.SIGKILL, 0)
	}
}

func (b *Broker) path(parts ...string) string {
	return filepath.Join(append([]string{b.Dir}, parts...)...)
}

// signal ends the process, by force when it outlives patience.
func (p *process) signal(sig syscall.Signal, patience time.Duration) {
	_ = syscall.Kill(p.pid, sig)
	_ = syscall.Kill(p.pid, syscall.SIGCONT) // a stopped process cannot end in order
	if sig != syscall.SIGKILL {
		select {
		case <-p.done:
			return
		case <-time.After(patience):
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	<-p.done
}
