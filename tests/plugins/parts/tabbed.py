import showtell
from showtell.data.annotations import AnnotationFormat, Picture, Split, annotation_file, picture_folder


@showtell.register("format", name="tabbed")
class TabbedFormat(AnnotationFormat):
    def read(self, config, split):
        captions = {}
        for line in annotation_file(config, split).read_text().splitlines():
            name, caption = line.split("\t")
            captions.setdefault(name, []).append(caption)
        folder = picture_folder(config, split)
        return Split([Picture(number, folder / name, tuple(captions[name])) for number, name in enumerate(captions)])
