/**
 * Reads a restricted form of Python's pickle format. It builds numbers, strings, lists, tuples and
 * dictionaries, and passes every other name to a host that knows a few harmless functions: nothing is imported
 * or executed. Objects of all other classes become inert {@link ForeignObject}s. Time and memory grow linearly with
 * the pickle's length.
 */

import { FormatProblem } from '../byte-source.js';
import {
  ForeignObject,
  PickleGlobal,
  type PickleHost,
  PickleMachine,
  PickleObject,
  PickleTuple,
  type PickleValue,
} from './pickle-machine.js';

const STOP = 0x2e;
const NEWEST_PROTOCOL = 5;

/** The opcodes that checkpoints need; each comment is the name in Python's pickletools. Others are refused. */
// prettier-ignore
const OPCODES: ReadonlyMap<number, (machine: PickleMachine) => void> = new Map([
  // Framing
  [0x80, checkProtocol], // PROTO
  [0x95, (m) => void m.skip(8)], // FRAME

  // Constants
  [0x4e, (m) => { m.push(null); }], // NONE
  [0x88, (m) => { m.push(true); }], // NEWTRUE
  [0x89, (m) => { m.push(false); }], // NEWFALSE
  [0x4a, (m) => { m.push(m.int32()); }], // BININT
  [0x4b, (m) => { m.push(m.uint8()); }], // BININT1
  [0x4d, (m) => { m.push(m.uint16()); }], // BININT2
  [0x8a, (m) => { m.push(m.long(m.uint8())); }], // LONG1
  [0x8b, (m) => { m.pushForeign('int', m.uint32()); }], // LONG4, of 256 bytes and more
  [0x47, (m) => { m.push(m.float64()); }], // BINFLOAT
  [0x58, (m) => { m.push(m.text(m.uint32())); }], // BINUNICODE
  [0x8c, (m) => { m.push(m.text(m.uint8())); }], // SHORT_BINUNICODE
  [0x8d, (m) => { m.push(m.text(m.uint64())); }], // BINUNICODE8
  [0x54, (m) => { m.push(m.text(m.uint32())); }], // BINSTRING, of Python 2
  [0x55, (m) => { m.push(m.text(m.uint8())); }], // SHORT_BINSTRING, of Python 2
  [0x43, (m) => { m.pushForeign('bytes', m.uint8()); }], // SHORT_BINBYTES
  [0x42, (m) => { m.pushForeign('bytes', m.uint32()); }], // BINBYTES
  [0x8e, (m) => { m.pushForeign('bytes', m.uint64()); }], // BINBYTES8
  [0x96, (m) => { m.pushForeign('bytearray', m.uint64()); }], // BYTEARRAY8

  // Containers
  [0x28, (m) => { m.mark(); }], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popToMark()], // POP_MARK
  [0x32, (m) => { m.push(m.top()); }], // DUP
  [0x29, (m) => { m.push(new PickleTuple([])); }], // EMPTY_TUPLE
  [0x85, (m) => { m.push(new PickleTuple(m.popMany(1))); }], // TUPLE1
  [0x86, (m) => { m.push(new PickleTuple(m.popMany(2))); }], // TUPLE2
  [0x87, (m) => { m.push(new PickleTuple(m.popMany(3))); }], // TUPLE3
  [0x74, (m) => { m.push(new PickleTuple(m.popToMark())); }], // TUPLE
  [0x5d, (m) => { m.push([]); }], // EMPTY_LIST
  [0x61, (m) => { m.append(m.popMany(1)); }], // APPEND
  [0x65, (m) => { m.append(m.popToMark()); }], // APPENDS
  [0x7d, (m) => { m.push(new Map()); }], // EMPTY_DICT
  [0x73, (m) => { m.setItems(m.popMany(2)); }], // SETITEM
  [0x75, (m) => { m.setItems(m.popToMark()); }], // SETITEMS
  [0x8f, (m) => { m.pushForeign('set'); }], // EMPTY_SET
  [0x90, (m) => { m.append(m.popToMark()); }], // ADDITEMS
  [0x91, (m) => { m.popToMark(); m.pushForeign('frozenset'); }], // FROZENSET

  // Memo
  [0x68, (m) => { m.recall(m.uint8()); }], // BINGET
  [0x6a, (m) => { m.recall(m.uint32()); }], // LONG_BINGET
  [0x71, (m) => { m.memoize(m.uint8()); }], // BINPUT
  [0x72, (m) => { m.memoize(m.uint32()); }], // LONG_BINPUT
  [0x94, (m) => { m.memoize(); }], // MEMOIZE

  // Objects
  [0x63, (m) => { m.global(m.line(), m.line()); }], // GLOBAL
  [0x93, stackGlobal], // STACK_GLOBAL
  [0x52, reduce], // REDUCE
  [0x81, reduce], // NEWOBJ: makes an object of a class without calling its __init__
  [0x92, (m) => { m.pop(); reduce(m); }], // NEWOBJ_EX: the same, with keyword arguments
  [0x62, build], // BUILD
  [0x51, (m) => { m.push(m.host.persistent(m.pop())); }], // BINPERSID
]);

/**
 * Reads one pickle.
 *
 * @param position start of the pickle in `bytes`.
 * @returns its value, and the position after the pickle.
 * @throws FormatProblem if it is cut off, malformed, or uses anything that is not allowed.
 */
export function unpickle(
  bytes: Uint8Array,
  position: number,
  host: PickleHost,
): { value: PickleValue; end: number } {
  const machine = new PickleMachine(bytes, position, host);
  for (;;) {
    const opcode = machine.uint8();
    if (opcode === STOP) return { value: machine.pop(), end: machine.position };
    const execute = OPCODES.get(opcode);
    if (execute === undefined) {
      throw new FormatProblem(`pickle opcode 0x${opcode.toString(16)}, which no checkpoint needs`);
    }
    execute(machine);
  }
}

function checkProtocol(machine: PickleMachine): void {
  const protocol = machine.uint8();
  if (protocol > NEWEST_PROTOCOL) throw new FormatProblem(`pickle protocol ${protocol}`);
}

function stackGlobal(machine: PickleMachine): void {
  const [module, name] = machine.popMany(2);
  machine.global(module, name);
}

/** Lets the host compute the result of a known function; that of any other is inert. */
function reduce(machine: PickleMachine): void {
  const [callable, args] = machine.popMany(2);
  if (callable instanceof ForeignObject) {
    machine.pushForeign(callable.className);
    return;
  }
  if (!(callable instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
    throw new FormatProblem('a pickle that calls something that is not a function');
  }
  machine.push(machine.host.call(callable.name, args.items));
}

/** Drops the attributes of an object: nothing of them is needed, such as OrderedDict's `_metadata`. */
function build(machine: PickleMachine): void {
  machine.pop();
  const object = machine.top();
  if (!(object instanceof Map || object instanceof PickleObject)) {
    throw new FormatProblem('a pickle that sets attributes of something that has none');
  }
}
