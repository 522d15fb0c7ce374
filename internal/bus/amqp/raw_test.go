package amqp_test

import (
	"encoding/json"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/cofferdb/coffer"
)

// peer speaks to the broker by hand, as a program of another make does.
type peer struct {
	t  *testing.T
	ch *amqp091.Channel
}

func newPeer(t *testing.T, url string) *peer {
	t.Helper()
	c, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return &peer{t: t, ch: ch}
}

// listen makes a queue as oslo does, bound to the topic exchange.
func (p *peer) listen(queue, key string) <-chan amqp091.Delivery {
	p.t.Helper()
	if err := p.ch.ExchangeDeclare("trove", "topic", false, false, false, false, nil); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.ch.QueueDeclare(queue, false, false, false, false, nil); err != nil {
		p.t.Fatal(err)
	}
	if key != "" {
		if err := p.ch.QueueBind(queue, key, "trove", false, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Cleanup(func() { p.ch.QueueDelete(queue, false, false, true) })
	in, err := p.ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return in
}

// send publishes raw bytes.
func (p *peer) send(exchange, key string, body []byte) {
	p.t.Helper()
	m := amqp091.Publishing{ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: 2, Body: body}
	if err := p.ch.PublishWithContext(p.t.Context(), exchange, key, false, false, m); err != nil {
		p.t.Fatal(err)
	}
}

type dict = map[string]any

// enveloped writes an inner message as oslo does.
func enveloped(inner dict) []byte {
	text, err := json.Marshal(inner)
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(dict{"oslo.version": "2.0", "oslo.message": string(text)})
	if err != nil {
		panic(err)
	}
	return b
}

// inner reads an enveloped message.
func inner(t *testing.T, body []byte) dict {
	t.Helper()
	var e map[string]string
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if e["oslo.version"] != "2.0" {
		t.Errorf("envelope version %q", e["oslo.version"])
	}
	var m dict
	if err := json.Unmarshal([]byte(e["oslo.message"]), &m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return m
}

func topic() string { return "topic." + coffer.NewNonce()[:8] }
