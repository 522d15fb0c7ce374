package testenv_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cofferdb/coffer/internal/testenv"
)

// One broker with everything: accounts, the management interface, both ways to
// end it, and nothing left afterwards.
func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "rabbitmq-server", "epmd")
	b, stop, err := testenv.StartRabbitMQ(testenv.RabbitMQOptions{
		Management: true,
		Users:      []testenv.BrokerUser{{Name: "guest-1", Password: "pw", Read: "^mine$", TopicExchange: "trove", TopicWrite: "^x$"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			stop()
		}
	}()
	if out, err := b.Ctl("list_user_topic_permissions", "guest-1"); err != nil || !strings.Contains(out, "^x$") {
		t.Errorf("topic permissions: %v\n%s", err, out)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/api/overview", b.ManagementPort), nil)
	req.SetBasicAuth(testenv.BrokerUserName, testenv.BrokerUserPassword)
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("management: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	first := b.Pid()
	b.Kill()
	if c, err := net.Dial("tcp", b.Addr()); err == nil {
		c.Close()
		t.Error("a killed broker listens")
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if b.Pid() == first {
		t.Error("the same process after Kill and Start")
	}
	last := b.Pid()
	stop()
	ended = true
	if err := syscall.Kill(last, 0); err == nil {
		t.Errorf("process %d is still there", last)
	}
	if _, err := os.Stat(b.Dir); !os.IsNotExist(err) {
		t.Errorf("the broker's folder is still there: %v", err)
	}
}
