package import SwiftProtobuf
import T4Core
import T4Server

/// Our decoder of a message beside the generated one.
package struct DecodingComparison<Message: SwiftProtobuf.Message, Value: Equatable> {
    /// What a decoder made of some bytes.
    private enum Outcome: Equatable {
        case value(Value)
        case invalidSort
        case malformed
    }

    private let decode: (RawSpan) throws -> Value
    private let expected: (Message) throws -> Value

    package init(
        decode: @escaping (RawSpan) throws -> Value, expected: @escaping (Message) throws -> Value
    ) {
        self.decode = decode
        self.expected = expected
    }

    /// What the two make of some bytes, if it is not the same; nil if it is.
    package func difference(_ bytes: [UInt8]) -> String? {
        let reference: Outcome
        do {
            reference = .value(try expected(try Message(serializedBytes: bytes)))
        } catch is InvalidSort {
            reference = .invalidSort
        } catch {
            reference = .malformed
        }
        let outcome: Outcome
        do {
            outcome = .value(try decode(bytes.span.bytes))
        } catch WireFailure.refused(.invalidSortOption) {
            outcome = .invalidSort
        } catch WireFailure.malformed(.overlongNumber) {
            // Like etcd's Go decoder; the generated code drops bits above the 64th.
            return nil
        } catch {
            outcome = .malformed
        }
        // Tags of more bytes than they need are read as etcd's decoder does; the generated code stops at five.
        if reference == .malformed && bytes.mayHaveLongTag { return nil }
        return outcome == reference ? nil : "\(outcome) instead of \(reference) from \(bytes)"
    }
}

extension [UInt8] {
    /// A number of more than five bytes is in there somewhere.
    fileprivate var mayHaveLongTag: Bool {
        var run = 0
        for byte in self {
            run = byte < 0x80 ? 0 : run + 1
            if run == 5 { return true }
        }
        return false
    }
}
