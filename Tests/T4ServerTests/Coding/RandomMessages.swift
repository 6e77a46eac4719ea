import EtcdAPI
import Foundation
import SwiftProtobuf

/// Random numbers that a seed repeats.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

    /// Numbers of every length on the wire, with the borders and zeros frequent.
    mutating func number() -> Int64 {
        switch Int.random(in: 0..<8, using: &self) {
        case 0, 1: 0
        case 2: [1, -1, 127, 128, .max, .min, 16383, 16384].randomElement(using: &self) ?? 0
        default: Int64(bitPattern: next() >> UInt64.random(in: 0..<64, using: &self))
        }
    }

    mutating func bytes(atMost limit: Int = 200) -> [UInt8] {
        let count = chance(20) ? 0 : Int.random(in: 0...(chance(80) ? min(limit, 8) : limit), using: &self)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    mutating func data() -> Data { Data(bytes()) }

    /// Numbers of an enum with `count` values, sometimes ones it does not have.
    mutating func enumNumber(count: Int) -> Int {
        chance(5) ? Int(Int32(truncatingIfNeeded: next())) : Int.random(in: 0..<count, using: &self)
    }
}

/// Messages of the generated types with random content.
extension SeededGenerator {
    mutating func rangeRequest() -> EtcdRangeRequest {
        .with {
            $0.key = data()
            $0.rangeEnd = data()
            $0.limit = number()
            $0.revision = number()
            if chance(50) { $0.sortOrder = .init(rawValue: enumNumber(count: 3)) ?? .none }
            if chance(50) { $0.sortTarget = .init(rawValue: enumNumber(count: 5)) ?? .key }
            $0.serializable = chance(50)
            $0.keysOnly = chance(50)
            $0.countOnly = chance(50)
            $0.minModRevision = number()
            $0.maxModRevision = number()
            $0.minCreateRevision = number()
            $0.maxCreateRevision = number()
        }
    }

    mutating func putRequest() -> EtcdPutRequest {
        .with {
            $0.key = data()
            $0.value = data()
            $0.lease = number()
            $0.prevKv = chance(50)
            $0.ignoreValue = chance(50)
            $0.ignoreLease = chance(50)
        }
    }

    mutating func deleteRangeRequest() -> EtcdDeleteRangeRequest {
        .with {
            $0.key = data()
            $0.rangeEnd = data()
            $0.prevKv = chance(50)
        }
    }

    mutating func compare() -> EtcdCompare {
        .with {
            $0.result = .init(rawValue: enumNumber(count: 4)) ?? .equal
            $0.target = .init(rawValue: enumNumber(count: 5)) ?? .version
            $0.key = data()
            $0.rangeEnd = data()
            switch Int.random(in: 0..<6, using: &self) {
            case 0: $0.version = number()
            case 1: $0.createRevision = number()
            case 2: $0.modRevision = number()
            case 3: $0.value = data()
            case 4: $0.lease = number()
            default: break
            }
        }
    }

    mutating func operation(depth: Int) -> EtcdRequestOp {
        .with {
            switch Int.random(in: 0..<(depth > 0 ? 5 : 4), using: &self) {
            case 0: $0.requestRange = rangeRequest()
            case 1: $0.requestPut = putRequest()
            case 2: $0.requestDeleteRange = deleteRangeRequest()
            case 3: break
            default: $0.requestTxn = txnRequest(depth: depth - 1)
            }
        }
    }

    mutating func txnRequest(depth: Int = 2) -> EtcdTxnRequest {
        .with {
            for _ in 0..<Int.random(in: 0..<3, using: &self) { $0.compare.append(compare()) }
            for _ in 0..<Int.random(in: 0..<3, using: &self) { $0.success.append(operation(depth: depth)) }
            for _ in 0..<Int.random(in: 0..<3, using: &self) { $0.failure.append(operation(depth: depth)) }
        }
    }

    mutating func compactionRequest() -> EtcdCompactionRequest {
        .with {
            $0.revision = number()
            $0.physical = chance(50)
        }
    }

    mutating func watchRequest() -> EtcdWatchRequest {
        .with {
            switch Int.random(in: 0..<8, using: &self) {
            case 0: break
            case 1: $0.progressRequest = EtcdWatchProgressRequest()
            case 2: $0.cancelRequest = .with { $0.watchID = number() }
            default: $0.createRequest = watchCreation()
            }
        }
    }

    mutating func watchCreation() -> EtcdWatchCreateRequest {
        .with {
            $0.key = data()
            $0.rangeEnd = data()
            $0.startRevision = number()
            $0.progressNotify = chance(50)
            for _ in 0..<Int.random(in: 0..<3, using: &self) {
                $0.filters.append(.init(rawValue: enumNumber(count: 2)) ?? .noput)
            }
            $0.prevKv = chance(50)
            $0.watchID = number()
            $0.fragment = chance(50)
        }
    }
}
