import EtcdAPI
import Foundation
import SwiftProtobuf
import T4Core
import Testing

@testable import T4Server

/// Comparisons, also those whose numbers do not exist or do not fit together, hold exactly where etcd's do.
///
/// Method: random comparisons are decoded and evaluated on an absent and on random keys, by T4Core's rules and by a
/// model of what etcd does with the message.
struct CompareMeaningTests {
    @Test func agrees() throws {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<20_000 {
            var message = generator.compare()
            if generator.chance(30) { message.result = .UNRECOGNIZED(9) }
            if generator.chance(30) { message.target = .UNRECOGNIZED(-3) }
            let wire = embedded(1, try message.serializedBytes() as [UInt8])
            let compare = try #require(try TxnRequest(protobuf: wire.span.bytes).compares.first)
            #expect(compare.key == [UInt8](message.key))
            #expect(compare.rangeEnd == [UInt8](message.rangeEnd))
            for stored in [nil, generator.stored(like: message), generator.stored(like: message)] {
                let ours = holds(compare, stored)
                let theirs = model(message, stored)
                #expect(ours == theirs, "\(message) on \(String(describing: stored))")
            }
        }
    }

    private func holds(_ compare: Compare, _ stored: KeyValue?) -> Bool {
        let number: (Int64, Int64)
        switch compare.target {
        case .value(let value):
            guard let stored else { return false }
            return holds(compare.result, order(stored.value, value))
        case .version(let given): number = (stored?.version ?? 0, given)
        case .create(let given): number = (stored?.createRevision.rawValue ?? 0, given)
        case .mod(let given): number = (stored?.modRevision.rawValue ?? 0, given)
        case .lease(let given): number = (stored?.lease ?? 0, given)
        }
        return holds(compare.result, number.0 < number.1 ? -1 : number.0 == number.1 ? 0 : 1)
    }

    private func holds(_ result: Compare.Result, _ order: Int) -> Bool {
        switch result {
        case .equal: order == 0
        case .greater: order > 0
        case .less: order < 0
        case .notEqual: order != 0
        }
    }

    private func order(_ left: [UInt8], _ right: [UInt8]) -> Int {
        left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
    }

    private func model(_ message: EtcdCompare, _ stored: KeyValue?) -> Bool {
        func order(_ left: Int64, _ right: Int64) -> Int { left < right ? -1 : left == right ? 0 : 1 }
        if stored == nil && message.target == .value { return false }
        // The accessors of a oneof answer 0 or empty when another member is set.
        let result =
            switch message.target {
            case .version: order(stored?.version ?? 0, message.version)
            case .create: order(stored?.createRevision.rawValue ?? 0, message.createRevision)
            case .mod: order(stored?.modRevision.rawValue ?? 0, message.modRevision)
            case .value: self.order(stored?.value ?? [], [UInt8](message.value))
            case .lease: order(stored?.lease ?? 0, message.lease)
            case .UNRECOGNIZED: 0
            }
        return switch message.result {
        case .equal: result == 0
        case .greater: result > 0
        case .less: result < 0
        case .notEqual: result != 0
        case .UNRECOGNIZED: true
        }
    }
}

extension SeededGenerator {
    /// A key whose numbers are the given ones, or near them.
    fileprivate mutating func stored(like message: EtcdCompare) -> KeyValue {
        func near(_ given: Int64, _ generator: inout SeededGenerator) -> Int64 {
            max(1, given &+ Int64.random(in: -1...1, using: &generator))
        }
        return KeyValue(
            key: [UInt8](message.key), createRevision: Revision(near(message.createRevision, &self)),
            modRevision: Revision(near(message.modRevision, &self)), version: near(message.version, &self),
            lease: message.lease &+ Int64.random(in: -1...1, using: &self),
            value: chance(50) ? [UInt8](message.value) : bytes())
    }
}
