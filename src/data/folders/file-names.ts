/** File and folder names: images, other kinds of images, and leftovers of systems and programs. */

/** File name extensions of the images that are read. Upper and lower case are the same. */
const IMAGE_EXTENSIONS: readonly string[] = [
  ...[
    '.jpg',
    '.jpeg',
    '.jpe',
    '.jfif',
    '.pjpeg',
    '.pjp',
    '.png',
    '.apng',
    '.gif',
    '.webp',
    '.avif',
  ],
  ...['.tif', '.tiff', '.bmp', '.dib', '.ppm', '.pgm', '.pbm', '.pnm'],
];

/** The commonest of them, for messages. */
export const IMAGE_EXTENSIONS_TEXT = '.jpg .png .webp .gif .tif .bmp …';

/**
 * Extensions of images and films that are not read. Raw files of cameras and scanners are among them: they begin like a
 * TIFF or JPEG file, but hold a preview or something else than the image.
 */
const OTHER_IMAGES: readonly string[] = [
  ...['.heic', '.heif', '.hif', '.heics', '.jxl', '.jp2', '.j2k', '.j2c', '.jpf', '.jpx', '.jpm'],
  ...[
    '.svg',
    '.svgz',
    '.ico',
    '.cur',
    '.psd',
    '.psb',
    '.xcf',
    '.exr',
    '.hdr',
    '.dds',
    '.tga',
    '.pcx',
  ],
  ...['.eps', '.ai', '.pdf', '.fits', '.dcm', '.pam', '.pfm', '.jxr', '.wdp', '.qoi', '.icns'],
  ...[
    '.3fr',
    '.arw',
    '.cr2',
    '.cr3',
    '.crw',
    '.dcr',
    '.dng',
    '.erf',
    '.fff',
    '.iiq',
    '.k25',
    '.kdc',
  ],
  ...[
    '.mef',
    '.mos',
    '.mrw',
    '.nef',
    '.nrw',
    '.orf',
    '.pef',
    '.raf',
    '.raw',
    '.rw2',
    '.rwl',
    '.sr2',
  ],
  ...['.srf', '.srw', '.x3f', '.gpr', '.lsm', '.svs', '.ndpi', '.scn', '.bif', '.vms', '.czi'],
  ...['.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v', '.mts', '.3gp'],
];

/** Files and folders that systems and programs leave behind, in small letters. None of them is a likely class name. */
const LEFTOVERS: ReadonlySet<string> = new Set([
  // Windows
  ...['thumbs.db', 'ehthumbs.db', 'ehthumbs_vista.db', 'image.db', 'desktop.ini', 'iconcache.db'],
  ...['$recycle.bin', 'system volume information', 'msdownld.tmp', 'wpsettings.dat', 'found.000'],
  ...['indexervolumeguid', 'dfsrprivate', 'albumartsmall.jpg', '_vti_cnf', '_vti_pvt', '_derived'],
  // macOS
  ...['__macosx', 'icon\r', 'network trash folder', 'temporary items', 'desktop db', 'desktop df'],
  ...['thevolumesettingsfolder', 'thefindbyclassfolder', 'thefindbycontentfolder'],
  // Linux and network storage: Synology, QNAP, NetApp
  ...['lost+found', '@eadir', '@tmp', '#recycle', '#snapshot', '@recycle', '@recently-snapshot'],
  ...['@__thumb', '@sharebin', '~snapshot'],
  // Programs that show or edit images
  ...[
    'picasa.ini',
    'picasa.db',
    'zbthumbnail.info',
    'pspbrwse.jbf',
    'digikam4.db',
    'thumbnails-digikam.db',
  ],
  ...['__pycache__', 'dropbox.cache', 'adobe bridge cache.bc', 'ipod photo cache'],
  // Archives, phones
  ...['pax_global_header', '@longlink', 'lost.dir'],
  // Recycle bin of old Windows, backups of GoodSync, thumbnails, and Synology's index.
  ...['recycler', '_gsdata_', '_thumbs', 'synoindex_media_info'],
]);

/** Folders that are leftovers inside a class only, because a class could have such a name. */
const LEFTOVERS_IN_CLASS: ReadonlySet<string> = new Set([
  'recycled',
  'thumbnails',
  'thumbs',
  'cvs',
]);

/** Leftovers whose names vary. */
const LEFTOVER_FILES: readonly RegExp[] = [
  // Thumbnails and streams of Synology that were copied out of @eaDir; album covers of the Windows Media Player.
  /^syno(photo|file|video)_thumb/,
  /@syno(eastream|resource)$/,
  /^albumart_\{.*\}_(large|small)\.jpg$/,
  // Backups of editors, ExifTool and merges; lock files of office programs; thumbnails of cameras.
  /.~$/,
  /^#.+#$/,
  /^~\$/,
  /^~lock\./,
  /\.(bak|orig|old|swp|thm)$/,
  /\.\w+_original$/,
  // Downloads and copies that did not end.
  /\.(part|partial|crdownload|download|opdownload|filepart|tmp|temp|aria2|!ut|!qb|bc!|td|xltd|icloud)$/,
  /^~syncthing~/,
  /\.(ffs_(db|lock|tmp)|!sync)$/,
  // Streams of Windows and Dropbox that became files, and names that netatalk wrote for a leading dot.
  /:(zone\.identifier|com\.dropbox\.\w+|encryptable|\$data)$/,
  /^:2e/,
];
const LEFTOVER_FOLDERS: readonly RegExp[] = [
  /^s-1-5-21-[\d-]+$/,
  /^found\.\d{3}$/,
  /^paxheaders?(\.\d+)?$/,
  // Safari's unfinished downloads.
  /.\.download$/,
];

/** Returns the extension of a file name in small letters, with its dot; '' if there is none. */
function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(dot).toLowerCase() : '';
}

/** Returns whether a file name has the extension of an image that is read. */
export function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.includes(extensionOf(name));
}

/** Returns whether a file name has the extension of an image or film that is not read. */
export function isOtherImageName(name: string): boolean {
  return OTHER_IMAGES.includes(extensionOf(name));
}

/**
 * Returns why a file or folder of this name is left out; null if it is not.
 *
 * @param inClass whether it lies in a class folder, so that it is not a class.
 */
export function leftoverReason(
  name: string,
  isFolder: boolean,
  inClass = false,
): 'hidden' | 'leftover' | null {
  if (name.startsWith('.')) return 'hidden';
  const lower = name.toLowerCase();
  const patterns = isFolder ? LEFTOVER_FOLDERS : LEFTOVER_FILES;
  if (isFolder && inClass && LEFTOVERS_IN_CLASS.has(lower)) return 'leftover';
  const isLeftover = LEFTOVERS.has(lower) || patterns.some((pattern) => pattern.test(lower));
  return isLeftover ? 'leftover' : null;
}

/** Compares strings by code point, as Python's `sorted` does. JavaScript's own order is by UTF-16 unit. */
export function compareCodePoints(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length;) {
    const left = a.codePointAt(i) ?? 0;
    const right = b.codePointAt(i) ?? 0;
    if (left !== right) return left - right;
    i += left > 0xffff ? 2 : 1;
  }
  return a.length - b.length;
}
