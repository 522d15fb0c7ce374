package host

import (
	"strconv"
	"syscall"

	"github.com/cofferdb/coffer"
)

// kept is what holds a slot's port: tcp, a bound socket that does not listen,
// from Prepare until the server itself binds; and claim, which every host of
// this machine asks for before it picks a port, for as long as we know the slot.
// Between the two ends of a server's start or crash the claim alone holds.
type kept struct{ tcp, claim int } // descriptors; -1 is none

func (k *kept) close() {
	k.closeTCP()
	if k.claim >= 0 {
		syscall.Close(k.claim)
		k.claim = -1
	}
}

func (k *kept) closeTCP() {
	if k.tcp >= 0 {
		syscall.Close(k.tcp)
		k.tcp = -1
	}
}

// pickPort finds a port that no slot has, no host claims and nobody listens on.
// Who connects before the server starts is refused instead of left hanging.
func (h *Host) pickPort(others []Slot, want int) (*kept, int, error) {
	const op = "pick a port"
	taken := map[int]bool{}
	for _, o := range others {
		taken[o.Port] = true
	}
	if want != 0 {
		if want < 1 || want > 65535 {
			return nil, 0, coffer.E(coffer.KindInvalid, op, "%d is no port", want)
		}
		if !taken[want] {
			if k, err := keepPort(want); err == nil {
				return k, want, nil
			}
		}
		return nil, 0, coffer.E(coffer.KindConflict, op, "port %d is in use", want).WithHint("choose another port, or 0 for any")
	}
	for p := h.cfg.PortMin; p <= h.cfg.PortMax; p++ {
		if taken[p] {
			continue
		}
		if k, err := keepPort(p); err == nil {
			return k, p, nil
		}
	}
	return nil, 0, coffer.E(coffer.KindQuota, op, "no port from %d to %d is free", h.cfg.PortMin, h.cfg.PortMax).
		WithHint("remove instances, or widen the range")
}

// keepPort claims a port and binds 127.0.0.1:port without listening.
func keepPort(port int) (*kept, error) {
	k := &kept{tcp: -1, claim: -1}
	var err error
	if k.claim, err = claimPort(port); err != nil {
		return nil, err
	}
	k.tcp, err = bound(syscall.AF_INET, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// claimPort binds a name in the abstract namespace of Unix sockets, which is as
// wide as that of ports and is freed by the kernel when we end.
func claimPort(port int) (fd int, err error) {
	return bound(syscall.AF_UNIX, &syscall.SockaddrUnix{Name: "@coffer/port/" + strconv.Itoa(port)})
}

func bound(family int, addr syscall.Sockaddr) (fd int, err error) {
	fd, err = syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.Bind(fd, addr); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// claim claims the port of a slot that an earlier agent made. Where another host
// of the same root has claimed it, that is as good.
func (h *Host) claim(s Slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ports[s.Instance] == nil {
		if fd, err := claimPort(s.Port); err == nil {
			h.ports[s.Instance] = &kept{tcp: -1, claim: fd}
		}
	}
}

// releasePort lets the server bind the slot's port; the claim stays.
func (h *Host) releasePort(id coffer.InstanceID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.ports[id]; k != nil {
		k.closeTCP()
	}
}

// unclaim gives a removed slot's port back.
func (h *Host) unclaim(id coffer.InstanceID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.ports[id]; k != nil {
		k.close()
		delete(h.ports, id)
	}
}
