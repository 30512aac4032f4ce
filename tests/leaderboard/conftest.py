from tests.gallery.conftest import phone as phone
