import NIOCore

/// The deadlines of the calls of one event loop: O(1) to set and to clear, 10 ms grain.
///
/// A hashed wheel: a slot holds the calls whose deadline falls on its tick in any turn of the wheel. One timer
/// of the loop drives it, and only while there are deadlines. Loop-confined.
final class DeadlineWheel: @unchecked Sendable {
    private static let slotCount = 512
    private static let grainNanoseconds: UInt64 = 10_000_000

    private var slots: [ContiguousArray<RPCCall>]
    private var count = 0
    private var isArmed = false
    private var lastTick: UInt64 = 0

    init() {
        slots = Array(repeating: [], count: Self.slotCount)
    }

    // The context of the loop owns the wheel and may go with its last connection, on whichever thread lets go of that,
    // also in the middle of a turn. So the wheel has no way back to it, and is given it where it needs it.

    /// Sets the deadline of a call of `loop` that has none.
    func insert(_ call: RPCCall, of loop: LoopContext, deadline: NIODeadline, now: NIODeadline) {
        precondition(call.wheelSlot < 0)
        // The tick after the deadline, so that the deadline has passed when the slot is looked at.
        let tick = max(Self.tick(deadline), Self.tick(now)) + 1
        let slot = Int(tick % UInt64(Self.slotCount))
        call.deadline = deadline
        call.wheelSlot = Int32(slot)
        call.wheelIndex = Int32(slots[slot].count)
        slots[slot].append(call)
        count += 1
        if !isArmed {
            lastTick = Self.tick(now)
            arm(loop)
        }
    }

    /// Clears the deadline of a call, if it has one.
    @inline(__always)
    func remove(_ call: RPCCall) {
        if call.wheelSlot >= 0 { removeSet(call) }
    }

    private func removeSet(_ call: RPCCall) {
        let slot = Int(call.wheelSlot)
        let index = Int(call.wheelIndex)
        let last = slots[slot].removeLast()
        if last !== call {
            slots[slot][index] = last
            last.wheelIndex = Int32(index)
        }
        call.wheelSlot = -1
        count -= 1
    }

    private func arm(_ loop: LoopContext) {
        isArmed = true
        loop.eventLoop.scheduleTask(in: .nanoseconds(Int64(Self.grainNanoseconds))) { [weak loop] in
            guard let loop else { return }
            loop.deadlines.advance(loop)
        }
    }

    private func advance(_ loop: LoopContext) {
        isArmed = false
        let now = NIODeadline.now()
        let tick = Self.tick(now)
        var expired: [RPCCall] = []
        // After a pause longer than a turn every slot is looked at once.
        let first = max(lastTick + 1, tick >= UInt64(Self.slotCount) ? tick - UInt64(Self.slotCount) + 1 : 0)
        if first <= tick {
            for current in first...tick {
                for call in slots[Int(current % UInt64(Self.slotCount))] where call.deadline <= now {
                    expired.append(call)
                }
            }
        }
        lastTick = tick
        for call in expired where call.wheelSlot >= 0 {
            removeSet(call)
            call.deadlineExpired()
        }
        loop.flushDirty()
        if count > 0, !isArmed { arm(loop) }
    }

    private static func tick(_ deadline: NIODeadline) -> UInt64 {
        deadline.uptimeNanoseconds / grainNanoseconds
    }
}
