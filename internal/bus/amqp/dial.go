package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
)

const (
	dialPatience = 10 * time.Second // TCP, TLS and AMQP handshakes together, for one host
	heartbeat    = 10 * time.Second // asked of the broker; two missed ones end the connection
	writeStall   = 10 * time.Second // a write that takes longer ends the connection
	closePolite  = time.Second      // how long a close may wait for the broker's answer
)

// connect tries each host once, beginning with the one after the last that was
// tried, and gives the first connection.
func (l *link) connect(ctx context.Context) (*session, error) {
	var last error
	for range l.bus.o.Hosts {
		host := l.bus.o.Hosts[l.next%len(l.bus.o.Hosts)]
		s, err := l.bus.dial(ctx, host)
		if err == nil {
			return s, nil
		}
		l.next++
		last = &coffer.Error{Kind: coffer.KindUnavailable, Op: "connect to the broker " + host, Err: err, Hint: dialHint(err)}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func dialHint(err error) string {
	var e *amqp091.Error
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return "is this the CA that signed the broker's certificate?"
	case errors.As(err, &e) && e.Code == amqp091.NotAllowed:
		return "does the vhost exist, and may this account use it?"
	case errors.As(err, &e) && e.Code == amqp091.AccessRefused:
		return "is the account's name and password right?"
	}
	return "is RabbitMQ running there?"
}

// dial makes one connection.
func (b *Bus) dial(ctx context.Context, host string) (*session, error) {
	ctx, stop := context.WithTimeout(ctx, dialPatience)
	defer stop()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	// The handshakes know no context: its end closes the connection under them.
	ended := context.AfterFunc(ctx, func() { raw.Close() })
	conn := raw
	if b.o.TLS != nil {
		conn, err = b.secure(ctx, raw, host)
	}
	var c *amqp091.Connection
	if err == nil {
		c, err = amqp091.Open(limitConn(conn, b.o.MaxMessage, writeStall), b.config())
	}
	if !ended() && err == nil {
		err = ctx.Err()
		c.Close()
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return newSession(b, c, raw), nil
}

func (b *Bus) secure(ctx context.Context, raw net.Conn, host string) (net.Conn, error) {
	cfg := b.o.TLS.Clone()
	if cfg.ServerName == "" {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			return nil, err
		}
		cfg.ServerName = name
	}
	c := tls.Client(raw, cfg)
	return c, c.HandshakeContext(ctx)
}

func (b *Bus) config() amqp091.Config {
	name := "coffer"
	if b.o.HostName != "" {
		name += " on " + b.o.HostName
	}
	props := amqp091.NewConnectionProperties()
	props.SetClientConnectionName(name)
	return amqp091.Config{
		SASL:       []amqp091.Authentication{&amqp091.PlainAuth{Username: b.o.User, Password: b.o.Password}},
		Vhost:      b.o.VHost,
		Heartbeat:  heartbeat,
		FrameSize:  128 << 10,
		Properties: props,
		Locale:     "en_US",
	}
}
