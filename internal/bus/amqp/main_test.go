package amqp_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/retry"
	"github.com/cofferdb/coffer/internal/testenv"
)

// shared is the broker of this package's tests, started by the first that needs it.
type shared struct {
	once sync.Once
	b    *testenv.Broker
	stop func()
	err  error
}

var common = &shared{}

// The accounts of the shared broker beside the common one.
var accounts = []testenv.BrokerUser{
	{Name: "agent-a", Password: "pw-a", Configure: ".*", Write: ".*", Read: ".*"},
	{
		Name: "agent-b", Password: "pw-b", Configure: "^(trove|reply_.*)$", Write: "^(trove|reply_.*|amq\\.default)$", Read: "^(trove|reply_.*)$",
		TopicExchange: "trove", TopicWrite: "^trove-conductor$", TopicRead: ".*",
	},
}

func TestMain(m *testing.M) {
	code := m.Run()
	if common.stop != nil {
		common.stop()
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func broker(t *testing.T) *testenv.Broker {
	t.Helper()
	testenv.Need(t, "rabbitmq-server", "epmd")
	common.once.Do(func() {
		common.b, common.stop, common.err = testenv.StartRabbitMQ(testenv.RabbitMQOptions{Users: accounts})
	})
	if common.err != nil {
		t.Fatalf("start a private RabbitMQ: %v", common.err)
	}
	return common.b
}

var (
	quiet = slog.New(slog.DiscardHandler)
	quick = retry.Policy{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
)

// options reach a broker as its common account.
func options(addr string) amqp.Options {
	return amqp.Options{
		Hosts: []string{addr}, User: testenv.BrokerUserName, Password: testenv.BrokerUserPassword, Backoff: quick, Log: quiet,
	}
}

// dial makes a bus that ends with the test.
func dial(t *testing.T, o amqp.Options) *amqp.Bus {
	t.Helper()
	b, err := amqp.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}
