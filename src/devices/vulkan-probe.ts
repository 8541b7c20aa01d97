/**
 * Prints the Vulkan devices of this machine as JSON. It runs in a process of its own, because it loads every installed
 * Vulkan driver, and a broken driver must not end a training run.
 */

import { loadKoffi, loadLibrary } from '../common/node/native-library.js';
import { answer } from '../common/node/run-apart.js';
import { VULKAN_LOADERS, type VulkanDevice, type VulkanReport } from './vulkan.js';

/** Names of VkPhysicalDeviceType, by value. */
const TYPES: readonly VulkanDevice['type'][] = [
  'other',
  'integrated',
  'discrete',
  'virtual',
  'software',
];
/** Bytes for VkPhysicalDeviceProperties, which has 824, and the offsets of type and name in it. */
const PROPERTIES_BYTES = 1024;
const TYPE_OFFSET = 16;
const NAME_OFFSET = 20;
const NAME_BYTES = 256;
/** VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, and its size with all pointers null. */
const INSTANCE_CREATE_INFO = 1;
const CREATE_INFO_BYTES = 64;
/** VK_ERROR_INCOMPATIBLE_DRIVER: there is a loader, but no driver. */
const NO_DRIVER = -9;

function probe(): VulkanReport {
  const name = VULKAN_LOADERS[process.platform];
  if (name === undefined) return { loader: null, problem: 'there is no Vulkan here', devices: [] };
  const vulkan = loadLibrary(name);
  if (typeof vulkan === 'string') return { loader: name, problem: vulkan, devices: [] };
  const createInstance = vulkan.func('vkCreateInstance', 'int32', ['void *', 'void *', 'void *']);
  const enumerate = vulkan.func('vkEnumeratePhysicalDevices', 'int32', [
    'void *',
    'void *',
    'void *',
  ]);
  const getProperties = vulkan.func('vkGetPhysicalDeviceProperties', 'void', ['void *', 'void *']);

  const info = Buffer.alloc(CREATE_INFO_BYTES);
  info.writeUInt32LE(INSTANCE_CREATE_INFO);
  const holder = Buffer.alloc(8);
  const created = createInstance(info, null, holder) as number;
  if (created === NO_DRIVER) return { loader: name, problem: 'no Vulkan driver', devices: [] };
  if (created !== 0) {
    return { loader: name, problem: `vkCreateInstance gave ${created}`, devices: [] };
  }
  const koffi = loadKoffi();
  const instance: unknown = koffi.decode(holder, 'void *');
  const count = Buffer.alloc(4);
  enumerate(instance, count, null);
  const handles = Buffer.alloc(8 * count.readUInt32LE());
  if (handles.length > 0) enumerate(instance, count, handles);
  const devices = Array.from({ length: handles.length / 8 }, (_, i): VulkanDevice => {
    const properties = Buffer.alloc(PROPERTIES_BYTES);
    getProperties(koffi.decode(handles, 8 * i, 'void *'), properties);
    const text = properties.subarray(NAME_OFFSET, NAME_OFFSET + NAME_BYTES);
    return {
      name: text.subarray(0, text.indexOf(0)).toString('utf8'),
      type: TYPES[properties.readUInt32LE(TYPE_OFFSET)] ?? 'other',
    };
  });
  return { loader: name, problem: null, devices };
}

answer(probe());
