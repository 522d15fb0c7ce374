//go:build !failpoints

package main

import (
	"time"

	"github.com/cofferdb/coffer/internal/agent"
	"github.com/cofferdb/coffer/internal/bus"
	"github.com/cofferdb/coffer/internal/bus/amqp"
	"github.com/cofferdb/coffer/internal/store"
	"github.com/cofferdb/coffer/internal/taskmanager"
)

// failpoint is nil in every build but the tests': nothing can be stopped here.
var failpoint func(step string)

// clock is the time of this machine.
func clock() time.Time { return time.Now() }

func failpointBus(b bus.Bus) bus.Bus { return b }

func failpointStore(s store.Full) store.Full { return s }

func tuneAgent(*agent.Config) {}

func tuneTasks(*taskmanager.Timings) {}

func tuneBus(*amqp.Options) {}
