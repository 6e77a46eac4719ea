import T4Core
import Testing

@testable import T4Server

/// Lines of locks and elections: keys and requests are those of etcd's clients, and places are read from the answers.
@Suite struct LineTests {
    private let line = Line(name: Array("jobs".utf8))

    private func row(_ key: String, created: Int64, value: String = "") -> KeyValue {
        KeyValue(
            key: Array(key.utf8), createRevision: Revision(created), modRevision: Revision(created), version: 1,
            lease: 0, value: Array(value.utf8))
    }

    private func range(_ rows: [KeyValue]) -> ResponseOperation {
        .range(RangeResponse(revision: Revision(9), kvs: rows, more: false, count: Int64(rows.count)))
    }

    @Test func keysAreThoseOfClients() {
        #expect(line.key(lease: 0x694d_7ab4_c013_f00d) == Array("jobs/694d7ab4c013f00d".utf8))
        #expect(line.key(lease: 1) == Array("jobs/1".utf8))
        #expect(line.key(lease: -1) == Array("jobs/-1".utf8))
        #expect(line.prefix == Array("jobs/".utf8))
        #expect(line.end == Array("jobs0".utf8))
        #expect(Line(name: []).prefix == [UInt8(ascii: "/")])
        #expect(Line(name: [0xFF, 0xFF]).end == [0xFF, 0xFF, UInt8(ascii: "0")])
    }

    @Test func aNewPlaceHasTheRevisionOfTheAnswer() {
        let put = ResponseOperation.put(PutResponse(revision: Revision(9), previous: nil))
        let alone = TxnResponse(
            revision: Revision(9), succeeded: true, responses: [put, range([row("jobs/1", created: 9)])])
        let joining = Line.Joining(alone, key: line.key(lease: 1), value: [5])
        #expect(joining.place == Line.Place(key: Array("jobs/1".utf8), created: Revision(9)))
        #expect(joining.isFirst)
        #expect(joining.value == [5])

        let second = TxnResponse(
            revision: Revision(9), succeeded: true, responses: [put, range([row("jobs/2", created: 4)])])
        #expect(!Line.Joining(second, key: line.key(lease: 1), value: []).isFirst)
    }

    @Test func aPlaceThatWasHeldBeforeKeepsItsOrderAndValue() {
        let own = row("jobs/1", created: 4, value: "old")
        let held = TxnResponse(revision: Revision(9), succeeded: false, responses: [range([own]), range([own])])
        let joining = Line.Joining(held, key: line.key(lease: 1), value: Array("new".utf8))
        #expect(joining.place.created == Revision(4))
        #expect(joining.revision == Revision(9))
        #expect(joining.isFirst)
        #expect(joining.value == Array("old".utf8))
        let behind = TxnResponse(
            revision: Revision(9), succeeded: false, responses: [range([own]), range([row("jobs/2", created: 3)])])
        #expect(!Line.Joining(behind, key: line.key(lease: 1), value: []).isFirst)
    }

    @Test func whoIsInFrontIsTheYoungestOlderOne() {
        let request = line.last(before: Line.Place(key: [1], created: Revision(7)))
        #expect(request.maxCreateRevision == 6)
        #expect(request.limit == 1)
        #expect(request.sortOrder == .descend)
        #expect(request.sortTarget == .create)
        #expect(line.first.sortOrder == .ascend)
    }

    @Test func aPlaceIsChangedOnlyWhileItIsHeld() {
        let place = Line.Place(key: [1], created: Revision(7))
        let compare = [Compare(key: [1], result: .equal, target: .create(7))]
        #expect(place.leave.compares == compare)
        #expect(place.leave.success == [.deleteRange(DeleteRangeRequest(key: [1]))])
        #expect(place.proclaim([2], lease: 3).compares == compare)
        #expect(place.proclaim([2], lease: 3).success == [.put(PutRequest(key: [1], value: [2], lease: 3))])
    }
}

/// What etcd takes for versions and for addresses of members.
@Suite struct ClusterRequestTests {
    @Test(arguments: ["3.5", "3.5.1", "0.0", "3.5.1-rc.1", "3.5.1+x", "3.5.1-rc-2+a.b", "03.5", "3.5.1-", "3.5.1+"])
    func isARelease(_ text: String) { #expect(ReleaseNumber.isValid(text)) }

    @Test(arguments: [
        "", ".", "3", "3.x", "3.5.1.2", "3.5-rc", "v3.5", "3.5.", "3..1", "3.5.1-a_b", "99999999999999999999.1",
    ])
    func isNoRelease(_ text: String) { #expect(!ReleaseNumber.isValid(text)) }

    @Test(arguments: ["http://a:1", "https://[::1]:2380", "unix://f:0", " HTTP://u:p@a:1", "http://a:", "http://a:1?q"])
    func isAnAddress(_ text: String) { #expect(MemberURL.isValid(text)) }

    @Test(arguments: ["", "a:1", "http://a", "ftp://a:1", "http://a:1/", "http://::1:1", "http://[::1]", "http://a:x"])
    func isNoAddress(_ text: String) { #expect(!MemberURL.isValid(text)) }
}
