package enrol

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
	"github.com/cofferdb/coffer/internal/pki"
	"github.com/cofferdb/coffer/internal/testenv"
)

// shared is the one broker of this package's tests, with TLS of our own CA on both its
// listeners.
type shared struct {
	*testenv.Broker
	dir   string
	files testenv.BrokerTLS
	https string
	stop  func()
}

var theBroker = sync.OnceValues(startBroker)

func startBroker() (*shared, error) {
	dir, err := os.MkdirTemp("", "coffer-enrol")
	if err != nil {
		return nil, err
	}
	s := &shared{dir: dir}
	ca, err := pki.Init(filepath.Join(dir, "ca"), "test", time.Now())
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue(dir, pki.Request{Name: "rabbit", Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return nil, err
	}
	s.files = testenv.BrokerTLS{CA: filepath.Join(dir, "ca", pki.CertFile), Cert: cert.Cert, Key: cert.Key}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.https = ln.Addr().String()
	ln.Close()
	_, port, err := net.SplitHostPort(s.https)
	if err != nil {
		return nil, err
	}
	s.Broker, s.stop, err = testenv.StartRabbitMQ(testenv.RabbitMQOptions{
		TLS: &s.files, Management: true, ExtraConfig: []string{
			"max_message_size = 1048576", "management.ssl.ip = 127.0.0.1", "management.ssl.port = " + port,
			"management.ssl.cacertfile = " + s.files.CA, "management.ssl.certfile = " + cert.Cert, "management.ssl.keyfile = " + cert.Key,
		},
	})
	return s, err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if s, err := theBroker(); err == nil {
			s.stop()
			os.RemoveAll(s.dir)
		}
	}
	os.Exit(code)
}

var started bool // theBroker was asked for

var startOnce sync.Once

func broker(t *testing.T) *shared {
	t.Helper()
	testenv.Need(t, "rabbitmq-server", "epmd")
	startOnce.Do(func() { started = true })
	s, err := theBroker()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tls is a client's side that trusts our CA.
func (s *shared) tls(t *testing.T) *tls.Config {
	t.Helper()
	c, err := pki.ClientTLS(pki.Files{CA: s.files.CA})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// accounts is the management interface, over TLS.
func (s *shared) accounts(t *testing.T) *RabbitMQ {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: s.tls(t)}
	t.Cleanup(tr.CloseIdleConnections)
	r, err := NewRabbitMQ(RabbitMQConfig{
		URL: "https://" + s.https, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword, Exchange: "trove",
		HTTP: &http.Client{Transport: tr, Timeout: 20 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *shared) dial(t *testing.T, user, password string) (*amqp091.Connection, error) {
	t.Helper()
	return amqp091.DialConfig(fmt.Sprintf("amqps://127.0.0.1:%d/", s.TLSPort), amqp091.Config{
		SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: user, Password: password}}, TLSClientConfig: s.tls(t),
	})
}

// peer is one raw connection, closed with the test.
type peer struct {
	t    *testing.T
	conn *amqp091.Connection
}

func (s *shared) peer(t *testing.T, user, password string) *peer {
	t.Helper()
	c, err := s.dial(t, user, password)
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{t, c}
}

// try does one thing on a channel of its own and gives the broker's code, 0 for yes.
// A publish is asked to be confirmed, since a refusal comes afterwards.
func (p *peer) try(f func(*amqp091.Channel) error) int {
	p.t.Helper()
	ch, err := p.conn.Channel()
	if err != nil {
		p.t.Fatal(err)
	}
	defer ch.Close()
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	if err = ch.Confirm(false); err == nil {
		err = f(ch)
	}
	var e *amqp091.Error
	select {
	case e = <-closed:
	default:
		errors.As(err, &e)
	}
	if e != nil {
		return e.Code
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return 0
}

func publish(exchange, key string, m amqp091.Publishing) func(*amqp091.Channel) error {
	return func(ch *amqp091.Channel) error {
		c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, m)
		if err != nil {
			return err
		}
		if !c.Wait() { // also when the channel was closed
			return nil
		}
		return nil
	}
}

func queue(name string) func(*amqp091.Channel) error {
	return func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(name, false, false, false, false, nil)
		return err
	}
}

func bound(name, key string) func(*amqp091.Channel) error {
	return func(ch *amqp091.Channel) error { return ch.QueueBind(name, key, "trove", false, nil) }
}

func consume(name string) func(*amqp091.Channel) error {
	return func(ch *amqp091.Channel) error {
		_, err := ch.Consume(name, "", true, false, false, false, nil)
		return err
	}
}

func newID() string { return coffer.NewUUID() }

// What an agent's account may do at a real broker, and what it may not.
func TestAccounts(t *testing.T) {
	t.Parallel()
	s := broker(t)
	acc := s.accounts(t)
	mine, theirs := coffer.InstanceID(newID()), coffer.InstanceID(newID())
	me, you := Who{Agent: coffer.AgentID(newID())}, Who{Agent: coffer.AgentID(newID())}
	for who, id := range map[Who]coffer.InstanceID{me: mine, you: theirs} {
		if err := acc.Ensure(t.Context(), who, "first", []coffer.InstanceID{id}); err != nil {
			t.Fatal(err)
		}
		if err := acc.Ensure(t.Context(), who, "pw", []coffer.InstanceID{id}); err != nil {
			t.Fatal(err)
		}
	}
	admin := s.peer(t, testenv.BrokerUserName, testenv.BrokerUserPassword)
	for _, f := range []func(*amqp091.Channel) error{
		func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclare("trove", "topic", false, false, false, false, nil)
		},
		queue("trove-conductor"), queue("taskmanager"), queue(guest(theirs)), queue(host(you)), queue(you.ReplyPrefix() + "1"), queue("reply_plane"),
	} {
		if code := admin.try(f); code != 0 {
			t.Fatal(code)
		}
	}
	if _, err := s.dial(t, me.Account(), "first"); err == nil {
		t.Error("the old password still opens")
	}
	p := s.peer(t, me.Account(), "pw")
	for _, c := range append(passes(me, mine), refuses(me, you, mine, theirs)...) {
		if code := p.try(c.do); code != c.code {
			t.Errorf("%s: the broker says %d, not %d", c.name, code, c.code)
		}
	}
	t.Run("grant", func(t *testing.T) { s.grants(t, acc, p, me, mine) })
}

// attempt is one thing that an agent tries, and what the broker answers.
type attempt struct {
	name string
	do   func(*amqp091.Channel) error
	code int
}

func guest(id coffer.InstanceID) string { return "guestagent." + string(id) }

func host(w Who) string { return "hostagent." + string(w.Agent) }

func exchange(name, kind string, passive bool) func(*amqp091.Channel) error {
	return func(ch *amqp091.Channel) error {
		if passive {
			return ch.ExchangeDeclarePassive(name, kind, false, false, false, false, nil)
		}
		return ch.ExchangeDeclare(name, kind, false, kind != "topic", false, false, nil)
	}
}

// passes is all that an agent needs.
func passes(me Who, mine coffer.InstanceID) []attempt {
	body, reply := amqp091.Publishing{Body: []byte("x")}, me.ReplyPrefix()+"0"
	return []attempt{
		{"see the exchange", exchange("trove", "topic", true), 0},
		{"its own topic", queue(host(me)), 0},
		{"bound", bound(host(me), host(me)), 0},
		{"its instance's topic", queue(guest(mine)), 0},
		{"bound", bound(guest(mine), guest(mine)), 0},
		{"its instance's server", queue(guest(mine) + ".db1.example"), 0},
		{"bound", bound(guest(mine)+".db1.example", guest(mine)+".db1.example"), 0},
		{"its fanout", exchange(guest(mine)+"_fanout", "fanout", false), 0},
		{"the queue of it", queue(guest(mine) + "_fanout_0a"), 0},
		{"bound", func(ch *amqp091.Channel) error {
			return ch.QueueBind(guest(mine)+"_fanout_0a", "", guest(mine)+"_fanout", false, nil)
		}, 0},
		{"read its topic", consume(guest(mine)), 0},
		{"its replies", queue(reply), 0},
		{"an exchange for them", exchange(reply, "direct", false), 0},
		{"read them", consume(reply), 0},
		{"speak to the conductor", publish("trove", "trove-conductor", body), 0},
		{"in its own name", publish("trove", "trove-conductor", amqp091.Publishing{UserId: me.Account()}), 0},
		{"answer a call", publish("", "reply_plane", body), 0},
	}
}

// refuses is every way to others that was found.
func refuses(me, you Who, mine, theirs coffer.InstanceID) []attempt {
	body, reply := amqp091.Publishing{Body: []byte("x")}, me.ReplyPrefix()+"0"
	return []attempt{
		{"declare the exchange", exchange("trove", "topic", false), 403},
		{"delete the exchange", func(ch *amqp091.Channel) error { return ch.ExchangeDelete("trove", false, false) }, 403},
		{"another exchange", exchange("evil", "fanout", false), 403},
		{"another queue", queue("evil"), 403},
		{"a queue without a name", queue(""), 403},
		{"another instance's topic", queue(guest(theirs)), 403},
		{"a longer name", queue("x" + guest(mine)), 403},
		{"a name with a tail", queue(guest(mine) + "0"), 403},
		{"another agent's topic", queue(host(you)), 403},
		{"the conductor's", queue("trove-conductor"), 403},
		{"another agent's replies", queue(you.ReplyPrefix() + "1"), 403},
		{"the control plane's replies", queue("reply_plane"), 403},
		{"read another instance's", consume(guest(theirs)), 403},
		{"read the conductor's", consume("trove-conductor"), 403},
		{"read the task manager's", consume("taskmanager"), 403},
		{"read another's replies", consume(you.ReplyPrefix() + "1"), 403},
		{"read the control plane's replies", consume("reply_plane"), 403},
		{"empty another's queue", func(ch *amqp091.Channel) error { _, err := ch.QueuePurge(guest(theirs), false); return err }, 403},
		{"delete another's queue", func(ch *amqp091.Channel) error {
			_, err := ch.QueueDelete(guest(theirs), false, false, false)
			return err
		}, 403},
		{"hear another's topic", bound(guest(mine), guest(theirs)), 403},
		{"hear the conductor's", bound(reply, "trove-conductor"), 403},
		{"hear everything", bound(guest(mine), "#"), 403},
		{"hear all of one's own", bound(guest(mine), guest(mine)+".#"), 0},
		{"hear everything through an exchange", func(ch *amqp091.Channel) error {
			return ch.ExchangeBind(guest(mine)+"_fanout", "#", "trove", false, nil)
		}, 403},
		{"speak to the task manager", publish("trove", "taskmanager", body), 403},
		{"speak to another instance's agent", publish("trove", guest(theirs), body), 403},
		{"speak to another agent", publish("trove", host(you), body), 403},
		{"in another's name", publish("trove", "trove-conductor", amqp091.Publishing{UserId: you.Account()}), 406},
		{"in another's name, by the default exchange", publish("", "trove-conductor", amqp091.Publishing{UserId: testenv.BrokerUserName}), 406},
		// The broker lets this pass, since agents answer calls this way: what was sent
		// so is refused by its signature, or by the name of its sender.
		{"write straight into a queue", publish("", guest(theirs), body), 0},
	}
}

// grants: new rights hold at once, also on connections that are open, and end with the
// account.
func (s *shared) grants(t *testing.T, acc *RabbitMQ, p *peer, me Who, mine coffer.InstanceID) {
	next := coffer.InstanceID(newID())
	if code := p.try(queue(guest(next))); code != 403 {
		t.Errorf("before: %d", code)
	}
	if err := acc.Grant(t.Context(), me, []coffer.InstanceID{mine, next}); err != nil {
		t.Fatal(err)
	}
	if code := p.try(queue(guest(next))); code != 0 {
		t.Errorf("after: %d", code)
	}
	var open []*amqp091.Connection
	for range maxConnections - 1 {
		c, err := s.dial(t, me.Account(), "pw")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if c, err := s.dial(t, me.Account(), "pw"); err == nil {
		c.Close()
		t.Errorf("a connection beyond %d", maxConnections)
	}
	for _, c := range open {
		c.Close()
	}
	if err := acc.Grant(t.Context(), Who{Agent: "none"}, nil); !coffer.IsKind(err, coffer.KindNotFound) {
		t.Errorf("rights for nobody: %v", err)
	}
	gone := p.conn.NotifyClose(make(chan *amqp091.Error, 1))
	for range 2 {
		if err := acc.Remove(t.Context(), me); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("a removed account stays connected")
	}
	if c, err := s.dial(t, me.Account(), "pw"); err == nil {
		c.Close()
		t.Error("a removed account comes in")
	}
	bad := s.accounts(t)
	bad.password = "wrong"
	if err := bad.Grant(t.Context(), me, nil); !coffer.IsKind(err, coffer.KindUnavailable) || !strings.Contains(coffer.HintOf(err), "administrator") {
		t.Errorf("without the right to: %v", err)
	}
}

// Passwords do not leave the machine in plain text.
func TestManagementNeedsTLS(t *testing.T) {
	t.Parallel()
	for u, ok := range map[string]bool{
		"https://rabbit.example:15671": true, "http://127.0.0.1:15672": true, "http://[::1]:15672": true, "http://localhost:1": true,
		"http://rabbit.example:15672": false, "http://192.0.2.1:1": false, "ftp://127.0.0.1": false, "": false,
	} {
		if _, err := NewRabbitMQ(RabbitMQConfig{URL: u, Exchange: "trove"}); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
}
