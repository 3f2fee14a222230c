// Pixels of an image as the graph takes them: brought to the size of the fit, as the product does it.

// The pixels of a file, (C, H, W), from 0 to 1.
async function pixelsOf(file, { input_shape: [n_channels, height, width], images }) {
  const start = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  if (start[0] === 0x89 && start[24] === 16) throw new Error("has 16 bits a colour, of which a browser shows 8; save it with 8");
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" }).catch(() => {
    throw new Error("is no image that this browser can read");
  });
  if (picture.width * picture.height > 2 ** 22) throw new Error("has more than four million pixels; make it smaller");
  const canvas = new OffscreenCanvas(picture.width, picture.height), context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height), n = picture.width * picture.height;
  const channels = Array.from({ length: n_channels }, () => new Float32Array(n));
  for (let place = 0; place < n; place++) {
    const [red, green, blue] = [0, 1, 2].map(part => onWhite(data[4 * place + part], data[4 * place + 3]));
    if (n_channels === 3) [red, green, blue].forEach((value, part) => { channels[part][place] = value / 255; });
    else {
      if (!images.grey && (red !== green || green !== blue)) throw new Error("is in colour, but the model was fitted on grey images; convert it");
      channels[0][place] = ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16) / 255;
    }
  }
  const planes = channels.map(values => ({ values, height: picture.height, width: picture.width }));
  if (!images.size && (picture.height !== height || picture.width !== width)) {
    throw new Error(`is ${picture.height}x${picture.width} pixels, but the model was fitted on ${height}x${width}; resize it`);
  }
  const pixels = new Float32Array(n_channels * height * width);
  planes.forEach((plane, part) => pixels.set(shaped(plane, height, width, images.aspect), part * height * width));
  return pixels;
}

const onWhite = (value, alpha) => alpha === 255 ? value : Math.round((value * alpha + 255 * (255 - alpha)) / 255);

// A plane stretched to a size, or filled up with its mean, or cut, on both sides.
function shaped(plane, height, width, aspect) {
  if (aspect === "stretch") return resampled(plane, height, width).values;
  const ratios = [height / plane.height, width / plane.width], ratio = (aspect === "pad" ? Math.min : Math.max)(...ratios);
  const inner = [plane.height, plane.width].map(side => Math.max(1, halfToEven(side * ratio))), small = resampled(plane, ...inner);
  const mean = small.values.reduce((sum, value) => sum + value, 0) / small.values.length, whole = new Float32Array(height * width).fill(mean);
  const top = Math.floor((height - inner[0]) / 2), left = Math.floor((width - inner[1]) / 2);
  const [above, before] = aspect === "pad" ? [top, left] : [-Math.floor((inner[0] - height) / 2), -Math.floor((inner[1] - width) / 2)];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const y = row - above, x = column - before;
      if (y >= 0 && y < inner[0] && x >= 0 && x < inner[1]) whole[row * width + column] = small.values[y * inner[1] + x];
    }
  }
  return whole;
}

const halfToEven = value => value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value);

// Linear resampling: a new pixel is the weighted mean of all the old ones that it covers. First along rows, then columns.
function resampled({ values, height, width }, new_height, new_width) {
  const along = (from, n_lines, n_old, n_new, at, to) => {
    if (n_old === n_new) return from;
    const found = new Float32Array(n_lines * n_new), weights = weightsOf(n_old, n_new);
    for (let line = 0; line < n_lines; line++) {
      weights.forEach(({ first, shares }, place) => {
        found[to(line, place)] = shares.reduce((sum, share, step) => sum + share * from[at(line, first + step)], 0);
      });
    }
    return found;
  };
  const rows = along(values, height, width, new_width, (line, place) => line * width + place, (line, place) => line * new_width + place);
  const both = along(rows, new_width, height, new_height, (line, place) => place * new_width + line, (line, place) => place * new_width + line);
  return { values: both, height: new_height, width: new_width };
}

function weightsOf(n_old, n_new) {
  const scale = n_old / n_new, support = Math.max(scale, 1);
  return Array.from({ length: n_new }, (_, place) => {
    const center = (place + 0.5) * scale, first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(n_old, Math.trunc(center + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, step) => Math.max(0, 1 - Math.abs((step + first - center + 0.5) / support)));
    const sum = shares.reduce((one, other) => one + other, 0);
    return { first, shares: shares.map(share => share / sum) };
  });
}
