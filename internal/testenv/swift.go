package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// SwiftOptions say what a private Swift is like. The zero value has its own
// login only, with SLO.
type SwiftOptions struct {
	KeystoneURL string // with /v3: a second proxy takes this Keystone's users
	NoSLO       bool   // the proxy of Swift's own users offers no static large objects
	MaxSegments int    // of one static large object; 0 is Swift's 1000
}

// SwiftServer is one private Swift: an object, a container and an account server
// and one or two proxies on the same data.
type SwiftServer struct {
	AuthURL     string // version 1 login: users test:tester / testing and test2:tester2 / testing2
	KeystoneURL string // of the proxy for Keystone's users: KeystoneURL/AUTH_<project>

	farm
	etc string
}

// StartSwift starts one in about four seconds. End it with Stop.
func StartSwift(o SwiftOptions) (*SwiftServer, error) {
	if err := lookAll("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server", "memcached"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "cf")
	if err != nil {
		return nil, err
	}
	s := &SwiftServer{farm: farm{dir: dir}, etc: filepath.Join(dir, "etc")}
	if err := s.up(o); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start a private Swift: %w", err)
	}
	return s, nil
}

// Stop ends every process and removes what they stored.
func (s *SwiftServer) Stop() {
	s.stop()
	os.RemoveAll(s.dir)
}

// The servers in the order of their ports.
const (
	swiftAccount = iota
	swiftContainer
	swiftObject
	swiftTempauth
	swiftKeystone
	swiftMemcached
	swiftPorts
)

func (s *SwiftServer) up(o SwiftOptions) error {
	ports, err := loopbackPorts(swiftPorts)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", ports[i]) }
	s.AuthURL = at(swiftTempauth) + "/auth/v1.0"
	if err := s.layOut(o, ports); err != nil {
		return err
	}
	// The rings, as swift-ring-builder makes them: one copy, one device.
	args := []string{"-c", swiftRings, s.etc}
	for _, i := range []int{swiftAccount, swiftContainer, swiftObject} {
		args = append(args, fmt.Sprint(ports[i]))
	}
	if err := s.run("/usr/bin/python3", args...); err != nil {
		return err
	}
	// The logins of version 1 live in memcached.
	err = s.start("memcached", nil, "memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", fmt.Sprint(ports[swiftMemcached]), "-U", "0", "-m", "16")
	if err != nil {
		return err
	}
	names := []string{"account-server", "container-server", "object-server", "proxy-server", "proxy-server"}
	last := swiftTempauth
	if o.KeystoneURL != "" {
		last = swiftKeystone
		s.KeystoneURL = at(swiftKeystone) + "/v1"
	}
	for i := range last + 1 {
		name := fmt.Sprint(names[i], i)
		if err := s.start(name, []string{"SWIFT_DIR=" + s.etc}, "swift-"+names[i], filepath.Join(s.etc, name+".conf")); err != nil {
			return err
		}
	}
	for i := range last + 1 {
		err := s.await(fmt.Sprint(names[i], i), 60*time.Second, func(ctx context.Context) bool {
			return answers(ctx, at(i)+"/healthcheck", http.StatusOK)
		})
		if err != nil {
			return err
		}
	}
	return s.await("memcached", 10*time.Second, func(context.Context) bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[swiftMemcached]))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
