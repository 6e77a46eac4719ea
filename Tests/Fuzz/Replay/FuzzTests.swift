import Foundation
import Testing

/// Goal: no reader of foreign bytes crashes, and each keeps its promises, whatever the bytes. Method: the kept inputs,
/// among them all that ever broke something, and the same changed at random. `scripts/fuzz` searches further, guided by
/// what the code does.
struct FuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Corpus")

    private func inputs(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        try FileManager.default.contentsOfDirectory(
            at: Self.corpus.appending(path: target.name), includingPropertiesForKeys: nil
        )
        .sorted { $0.path < $1.path }
        .map { ($0.lastPathComponent, [UInt8](try Data(contentsOf: $0))) }
    }

    @Test(arguments: FuzzTarget.all)
    func keptInputs(_ target: FuzzTarget) throws {
        let inputs = try inputs(target)
        #expect(!inputs.isEmpty)
        for input in inputs {
            #expect(throws: Never.self, "\(input.name)") { try target.run(input.bytes) }
        }
    }

    @Test(arguments: FuzzTarget.all)
    func changedInputs(_ target: FuzzTarget) throws {
        let inputs = try inputs(target).map(\.bytes)
        let seed = Self.environment["T4_TEST_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for round in 0..<(Self.environment["T4_TEST_SLOW"] == "1" ? 50_000 : 1_000) {
            let input = changed(inputs, &random)
            #expect(throws: Never.self, "T4_TEST_SEED=\(seed), round \(round): \(input)") { try target.run(input) }
        }
    }

    private func changed(_ inputs: [[UInt8]], _ random: inout SplitMix) -> [UInt8] {
        var bytes = inputs.randomElement(using: &random) ?? []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            let end = min(bytes.count, place + Int.random(in: 1...16, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes.removeSubrange(place..<end)
            case 1: bytes.insert(contentsOf: bytes[place..<end], at: place)
            case 2:
                let other = inputs.randomElement(using: &random) ?? []
                bytes.replaceSubrange(place..., with: other.dropFirst(place))
            case 3: bytes.insert([0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0, at: place)
            default:
                if place < bytes.count { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
            }
        }
        return bytes
    }
}

/// Random numbers from a seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
